//! The command line.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{DatabaseArgs, KeyArgs, ServeArgs};

/// The HTTP API of Reprise: webhook delivery and redelivery on PostgreSQL.
#[derive(Parser)]
#[command(name = "reprise-api", version)]
pub struct Cli {
    /// Where the database is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How to log.
    #[command(flatten)]
    pub log: LogArgs,
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `serve`, when no command is named.
    #[command(flatten)]
    pub serve: ServeArgs,
}

impl Cli {
    /// Reads the command line. Ends the program when it asks for help, or is wrong.
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        if let Some(flag) = misplaced(&matches) {
            let message = format!(
                "--{flag} must stand behind the command that it is for, as in `reprise-api serve --{flag} …`"
            );
            Self::command()
                .error(ErrorKind::ArgumentConflict, message)
                .exit();
        }
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// A flag of `serve` that stands before a command, where nobody would read it. Clap can refuse these only together with
/// the flags of all commands.
fn misplaced(matches: &ArgMatches) -> Option<String> {
    matches.subcommand_name()?;
    let serve = ServeArgs::augment_args(clap::Command::new("serve"));
    let mut flags = serve.get_arguments();
    let found = flags.find(|flag| {
        let source = matches.value_source(flag.get_id().as_str());
        source == Some(ValueSource::CommandLine)
    })?;
    found.get_long().map(str::to_owned)
}

/// How to log.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// Which lines to log, like `info` or `warn,reprise_api=debug`.
    #[arg(
        long,
        env = "REPRISE_LOG",
        default_value = "info,actix_server=warn,actix_http=off",
        global = true
    )]
    pub log: String,
    /// How lines look: `text` or `json`.
    #[arg(
        long,
        env = "REPRISE_LOG_FORMAT",
        default_value = "text",
        global = true
    )]
    pub log_format: String,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Serve HTTP until SIGTERM (the default).
    Serve(ServeArgs),
    /// Bring the database to this version's schema; safe to repeat and to run from many places at once.
    Migrate,
    /// Tenants.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Users.
    #[command(subcommand)]
    User(UserCommand),
    /// API keys.
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Re-encrypt the endpoint secrets and headers that earlier master keys have encrypted, so that these can be
    /// retired.
    ///
    /// Safe beside running programs, and to repeat; prints only JSON, the number of endpoints.
    Reseal(KeyArgs),
    /// Print the OpenAPI document; needs neither a database nor a key.
    Openapi,
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Make a tenant with its first user and an API key, both with all scopes; prints only JSON.
    ///
    /// The user's password comes from the variable `REPRISE_PASSWORD`, or is asked for.
    Create {
        /// The tenant's name.
        #[arg(long)]
        name: String,
        /// Its first user.
        #[command(flatten)]
        user: UserArgs,
    },
}

/// A user to be named. The password comes from `REPRISE_PASSWORD`, or is asked for.
#[derive(Args, Debug)]
pub struct UserArgs {
    /// The user's name, unique over all tenants.
    #[arg(long)]
    pub username: String,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make another user of a tenant, with all scopes; prints only JSON.
    ///
    /// The password comes from the variable `REPRISE_PASSWORD`, or is asked for.
    Create {
        /// The tenant's id.
        #[arg(long)]
        tenant_id: uuid::Uuid,
        /// The user.
        #[command(flatten)]
        user: UserArgs,
    },
    /// Set a user's password, which ends all of the user's tokens.
    ///
    /// The password comes from the variable `REPRISE_PASSWORD`, or is asked for.
    SetPassword(UserArgs),
}

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum ApiKeyCommand {
    /// Make an API key of a user; prints only JSON, and the key only this once.
    Create {
        /// The user's name.
        #[arg(long)]
        username: String,
        /// A name for the key.
        #[arg(long, default_value = "command line")]
        name: String,
        /// Scopes separated by spaces; all that the user has when not given.
        #[arg(long)]
        scope: Option<String>,
    },
}
