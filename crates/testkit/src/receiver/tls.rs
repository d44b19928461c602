//! A test authority and the certificate it signs for a receiver.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

/// What a receiver shows as its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// One that holds: signed by the authority, for the names, now.
    Valid,
    /// Signed by the authority, and over since 2020.
    Expired,
    /// Signed by itself.
    SelfSigned,
}

/// What a receiver needs to speak TLS, and its clients to trust it.
#[derive(Debug)]
pub(super) struct Tls {
    first_name: String,
    config: Arc<ServerConfig>,
    ca_pem_path: PathBuf,
    /// Holds `ca_pem_path`; removed with this value.
    _folder: TempDir,
}

impl Tls {
    pub(super) fn for_names(names: &[&str], certificate: Certificate) -> Self {
        let first_name = names.first().expect("a certificate has at least one name");
        let authority = new_authority();
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let ca_pem_path = folder.path().join("ca.pem");
        fs::write(&ca_pem_path, authority.pem()).expect("a temporary file can be written");
        Self {
            first_name: (*first_name).to_owned(),
            config: Arc::new(server_config(names, &authority, certificate)),
            ca_pem_path,
            _folder: folder,
        }
    }

    pub(super) fn first_name(&self) -> &str {
        &self.first_name
    }

    pub(super) fn ca_pem_path(&self) -> &Path {
        &self.ca_pem_path
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn new_authority() -> CertifiedIssuer<'static, KeyPair> {
    let key = KeyPair::generate().expect("a key can be made");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "Reprise test authority");
    CertifiedIssuer::self_signed(params, key).expect("an authority can sign itself")
}

fn server_config(
    names: &[&str],
    authority: &CertifiedIssuer<'static, KeyPair>,
    certificate: Certificate,
) -> ServerConfig {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().expect("a key can be made");
    let mut params =
        CertificateParams::new(names).expect("the names are DNS names or IP addresses");
    if certificate == Certificate::Expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let signed = match certificate {
        Certificate::Valid | Certificate::Expired => params.signed_by(&key, authority),
        Certificate::SelfSigned => params.self_signed(&key),
    };
    let certificate = signed.expect("the authority can sign");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("the certificate belongs to the key")
}
