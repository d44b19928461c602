//! A disk so small that a test can fill it.

use std::{
    env, fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::sandbox::{is_inside, must};

/// What the ballast is written by: small, so that the last page of the disk is taken, too.
const BALLAST_CHUNK: [u8; 4096] = [0; 4096];

/// A file system in memory with a size of its own, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one that holds so many megabytes.
    ///
    /// # Panics
    ///
    /// Outside of a [`sandbox`](crate::sandbox), where others would see it.
    #[must_use]
    pub fn mount(megabytes: usize) -> Self {
        assert!(
            is_inside(),
            "the machine's mounts are not a test's to change"
        );
        let path = env::temp_dir().join(format!("reprise-disk-{}", Uuid::new_v4().simple()));
        fs::create_dir(&path).expect("a folder can be made");
        let disk = Self(path);
        let options = format!("size={megabytes}m,mode=1777");
        let target = disk.0.to_str().expect("a plain path");
        must("mount", &["-t", "tmpfs", "-o", &options, "reprise", target]);
        disk
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all the room that is left.
    ///
    /// # Panics
    ///
    /// When writing fails for another reason than that there is no room.
    pub fn fill(&self) {
        let mut ballast = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.ballast())
            .expect("there is room for a name");
        let full = loop {
            if let Err(error) = ballast.write_all(&BALLAST_CHUNK) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
    }

    /// Gives back what [`fill`](Self::fill) took.
    ///
    /// # Panics
    ///
    /// When it was not called.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).expect("it was filled");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The sandbox's mounts end with it; the folder is everybody's.
        let target = self.0.to_str().expect("a plain path");
        let _ = std::process::Command::new("umount")
            .args(["--lazy", target])
            .status();
        let _ = fs::remove_dir(&self.0);
    }
}
