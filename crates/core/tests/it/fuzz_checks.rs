//! What the fuzz targets check, over the committed corpus and at random. See fuzz/README.md.

#[path = "../../../../fuzz/checks/retry_after.rs"]
mod retry_after;
#[path = "../../../../fuzz/checks/signature.rs"]
mod signature;
