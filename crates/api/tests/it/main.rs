//! `reprise-api` as its clients see it: the real program, over HTTP and on the command line, on a real PostgreSQL.

mod api_keys;
mod auth;
mod batch;
mod cancel;
mod cli;
mod command;
mod database_tls;
mod deliveries;
mod endpoints;
mod events;
mod hook_requests;
mod hooks;
mod hostile;
mod isolation;
mod keyed_turns;
mod outage;
mod played_dispatcher;
mod publish;
mod rate_limits;
mod redeliver;
mod replay;
mod rotation;
mod round_trips;
mod rows;
mod stage;
mod trial;
