//! The store on a real PostgreSQL: a database of its own for each test.

mod accounts;
mod attempts;
mod canceled;
mod circuits;
mod claim;
mod consistency;
mod deadlocks;
mod fairness;
mod idempotency;
mod kept_rows;
mod leases;
mod limits;
mod lost;
mod partitions;
mod plans;
mod pool;
mod prepared;
mod publish;
mod queue_age;
mod replays;
mod resealing;
mod retention;
mod schema;
mod settling;
mod world;
mod young_plans;
