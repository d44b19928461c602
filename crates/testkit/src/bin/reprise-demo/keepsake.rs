//! What the demo remembers from one run to the next, in `demo.json`.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// The demo's master key, tenant and endpoint. Holds secrets: hence no `Debug`, and mode 0600.
#[derive(Serialize, Deserialize)]
pub(crate) struct Keepsake {
    /// The `REPRISE_SECRET_KEY` of the demo; without it the stored endpoint secrets are lost.
    pub(crate) secret_key: String,
    #[serde(flatten)]
    pub(crate) tenant: Option<DemoTenant>,
    #[serde(flatten)]
    pub(crate) endpoint: Option<DemoEndpoint>,
    #[serde(skip)]
    path: PathBuf,
}

/// The demo's tenant and its user.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DemoTenant {
    pub(crate) tenant_id: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) api_key: String,
}

/// The endpoint that leads to the demo's receiver.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DemoEndpoint {
    pub(crate) endpoint_id: String,
    pub(crate) endpoint_secret: String,
}

impl Keepsake {
    /// Reads `demo.json` in `folder`, or makes both.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join("demo.json");
        match fs::read(&path) {
            Ok(bytes) => {
                let kept: Self = serde_json::from_slice(&bytes).with_context(|| {
                    format!("{} is damaged: remove it and try again", path.display())
                })?;
                Ok(Self { path, ..kept })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    fn make(path: PathBuf) -> Result<Self> {
        let made = Self {
            secret_key: STANDARD.encode(rand::random::<[u8; 32]>()),
            tenant: None,
            endpoint: None,
            path,
        };
        made.save()?;
        Ok(made)
    }

    /// Remembers a new tenant; the endpoint of the former one is of no use to it.
    pub(crate) fn keep_tenant(&mut self, tenant: DemoTenant) -> Result<()> {
        self.tenant = Some(tenant);
        self.endpoint = None;
        self.save()
    }

    /// Remembers a new endpoint.
    pub(crate) fn keep_endpoint(&mut self, endpoint: DemoEndpoint) -> Result<()> {
        self.endpoint = Some(endpoint);
        self.save()
    }

    /// Writes beside and renames, so that a demo killed meanwhile leaves a whole file.
    fn save(&self) -> Result<()> {
        let beside = self.path.with_extension("json.new");
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            fs::rename(&beside, &self.path)
        };
        write().with_context(|| format!("writing {}", self.path.display()))
    }
}
