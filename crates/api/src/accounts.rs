//! Making tenants, users and API keys from the command line.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use reprise_core::display_name::DisplayName;
use reprise_core::ids::{ApiKeyId, TenantId, UserId};
use reprise_core::scope::Scopes;
use reprise_core::secret::SecretText;
use reprise_core::store::api_keys::{self, Inserted, MAX_KEYS, NewApiKey};
use reprise_core::store::{StoreError, tenants, users};
use serde_json::{Value, json};

use crate::auth::api_key::NewKey;
use crate::auth::password::{self, MAX_PASSWORD_BYTES};
use crate::cli::{ApiKeyCommand, TenantCommand, UserArgs, UserCommand};
use crate::config::password_from_environment;

/// Shortest password, in characters: NIST SP 800-63B section 5.1.1.
const MIN_PASSWORD_CHARS: usize = 8;

/// Runs `tenant …` and returns what it prints.
///
/// # Errors
///
/// What is wrong with the input, or with the database; nothing was made then.
pub async fn run_tenant(
    database_url: &SecretText,
    command: TenantCommand,
) -> anyhow::Result<Value> {
    let TenantCommand::Create { name, user } = command;
    let name = parse_name("--name", &name)?;
    parse_name("--username", &user.username)?;
    let password_hash = read_password_hash()?;
    let mut conn = connect(database_url).await?;
    let tenant_id = TenantId::new();
    let (user_id, api_key) = conn
        .transaction(async |conn| {
            tenants::insert(conn, tenant_id, name.as_str()).await?;
            let user_id = users::insert(
                conn,
                tenant_id,
                &user.username,
                &password_hash,
                &Scopes::all(),
            )
            .await?;
            let first = DisplayName::parse("first").expect("a constant that is a name");
            let key = insert_key(conn, tenant_id, user_id, &first, &Scopes::all()).await?;
            Ok::<_, StoreError>((user_id, key))
        })
        .await
        .map_err(|error| explain_taken(error, &user.username))?;
    Ok(json!({"tenant_id": tenant_id.as_uuid(), "user_id": user_id.0, "api_key": api_key}))
}

/// Runs `user …` and returns what it prints.
///
/// # Errors
///
/// What is wrong with the input, or with the database; nothing was changed then.
pub async fn run_user(database_url: &SecretText, command: UserCommand) -> anyhow::Result<Value> {
    match command {
        UserCommand::Create { tenant_id, user } => {
            parse_name("--username", &user.username)?;
            let password_hash = read_password_hash()?;
            let mut conn = connect(database_url).await?;
            let tenant_id = TenantId::from_uuid(tenant_id);
            if !tenants::exists(&mut conn, tenant_id)
                .await
                .map_err(unmigrated)?
            {
                bail!("there is no tenant {}", tenant_id.as_uuid());
            }
            let user_id = users::insert(
                &mut conn,
                tenant_id,
                &user.username,
                &password_hash,
                &Scopes::all(),
            )
            .await
            .map_err(|error| explain_taken(error, &user.username))?;
            Ok(json!({"tenant_id": tenant_id.as_uuid(), "user_id": user_id.0}))
        }
        UserCommand::SetPassword(UserArgs { username }) => {
            let password_hash = read_password_hash()?;
            let mut conn = connect(database_url).await?;
            if !users::set_password(&mut conn, &username, &password_hash).await? {
                bail!("there is no user '{username}'");
            }
            Ok(json!({"username": username}))
        }
    }
}

/// Runs `api-key …` and returns what it prints.
///
/// # Errors
///
/// What is wrong with the input, or with the database; nothing was made then.
pub async fn run_api_key(
    database_url: &SecretText,
    command: ApiKeyCommand,
) -> anyhow::Result<Value> {
    let ApiKeyCommand::Create {
        username,
        name,
        scope,
    } = command;
    let name = parse_name("--name", &name)?;
    let mut conn = connect(database_url).await?;
    let Some(user) = users::find_by_name(&mut conn, &username).await? else {
        bail!("there is no user '{username}'");
    };
    let scopes = match scope {
        None => user.scopes.clone(),
        Some(text) => Scopes::parse(&text).context("--scope")?,
    };
    let Some(key) = insert_key(&mut conn, user.tenant_id, user.id, &name, &scopes).await? else {
        bail!("the user '{username}' has {MAX_KEYS} API keys already: revoke one first");
    };
    Ok(json!({"tenant_id": user.tenant_id.as_uuid(), "user_id": user.id.0, "api_key": key}))
}

async fn connect(database_url: &SecretText) -> anyhow::Result<AsyncPgConnection> {
    let connected = reprise_core::store::connect(database_url.expose()).await;
    connected.context("connecting to PostgreSQL (DATABASE_URL)")
}

/// Makes a key and returns its text; `None` when the user may have no more.
async fn insert_key(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    user_id: UserId,
    name: &DisplayName,
    scopes: &Scopes,
) -> Result<Option<String>, StoreError> {
    let key = NewKey::generate();
    let row = NewApiKey {
        id: ApiKeyId::new(),
        user_id,
        name,
        prefix: &key.prefix,
        key_hash: &key.hash,
        scopes,
        expires_at: None,
    };
    Ok(match api_keys::insert(conn, tenant_id, &row).await? {
        Inserted::At(_) => Some(key.text),
        Inserted::TooMany => None,
    })
}

fn parse_name(flag: &str, text: &str) -> anyhow::Result<DisplayName> {
    DisplayName::parse(text).map_err(|error| anyhow::anyhow!("{flag} {error}"))
}

fn explain_taken(error: StoreError, username: &str) -> anyhow::Error {
    match error {
        StoreError::Taken(_) => anyhow::anyhow!(
            "the username '{username}' is taken; usernames are unique over all tenants"
        ),
        StoreError::Unavailable(_)
        | StoreError::Refused(_)
        | StoreError::Corrupt(_)
        | StoreError::Failed(_) => unmigrated(error),
    }
}

fn unmigrated(error: StoreError) -> anyhow::Error {
    anyhow::Error::new(error).context("is the database migrated (`reprise-api migrate`)?")
}

fn read_password_hash() -> anyhow::Result<String> {
    let password = match password_from_environment() {
        Some(password) => password,
        None => ask_for_password()?,
    };
    if password.chars().count() < MIN_PASSWORD_CHARS || password.len() > MAX_PASSWORD_BYTES {
        bail!(
            "REPRISE_PASSWORD must have {MIN_PASSWORD_CHARS} characters at least and {MAX_PASSWORD_BYTES} bytes at most"
        );
    }
    Ok(password::hash(&password)?)
}

/// Asks at the terminal, or reads a line of the standard input where there is none.
fn ask_for_password() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let password = if stdin.is_terminal() {
        rpassword::prompt_password("Password: ").context("reading the password")?
    } else {
        let mut line = String::new();
        stdin
            .lock()
            .read_line(&mut line)
            .context("reading the password")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.is_empty() {
        bail!("no password: set REPRISE_PASSWORD, or type it when asked");
    }
    Ok(password)
}
