//! Builds again when a migration is added: `embed_migrations!` alone does not notice a new folder.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
