//! A demo tenant, made with `reprise-api tenant create`.

use anyhow::{Context, Result, ensure};
use reprise_testkit::process::binary;
use serde::Deserialize;
use tokio::process::Command;
use uuid::Uuid;

use crate::keepsake::DemoTenant;

/// What the command prints.
#[derive(Deserialize)]
struct Created {
    tenant_id: String,
    api_key: String,
}

/// Creates a tenant whose user has a name that no earlier run can have taken.
pub(crate) async fn create(database_url: &str, secret_key: &str) -> Result<DemoTenant> {
    let username = format!("demo-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let password = Uuid::new_v4().simple().to_string();
    let output = Command::new(binary("reprise-api"))
        .args([
            "tenant",
            "create",
            "--name",
            "Demo",
            "--username",
            &username,
        ])
        .env("DATABASE_URL", database_url)
        .env("REPRISE_SECRET_KEY", secret_key)
        .env("REPRISE_PASSWORD", &password)
        .kill_on_drop(true)
        .output()
        .await
        .context("running `reprise-api tenant create`")?;
    ensure!(
        output.status.success(),
        "`reprise-api tenant create` ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let created: Created =
        serde_json::from_slice(&output.stdout).context("reading the new tenant")?;
    Ok(DemoTenant {
        tenant_id: created.tenant_id,
        username,
        password,
        api_key: created.api_key,
    })
}
