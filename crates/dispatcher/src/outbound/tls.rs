//! Which authorities are trusted.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

/// Trusts the system's authorities, or Mozilla's where the system has none, and those in `ca_file`.
///
/// # Errors
///
/// `ca_file` can't be read, or holds no certificate.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = system_roots();
    if let Some(path) = ca_file {
        add_file(&mut roots, path)
            .with_context(|| format!("REPRISE_CA_FILE: reading {}", path.display()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choosing the versions of TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        warn!(errors = ?native.errors, "The system has no certificate authorities, using Mozilla's");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<()> {
    let mut count = 0;
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
        count += 1;
    }
    ensure!(count > 0, "it holds no certificate");
    Ok(())
}
