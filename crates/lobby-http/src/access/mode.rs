//! Who may read a file that holds secrets: decides when that is worth a warning, and words it.
//!
//! A file of ours is ours alone (0600). One that somebody else gives us, as packages do, is read by way of its group
//! (0640, `root:lobby`): our group is the only one that it is for. Not here: what to do about it, which is the operator's.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

/// A sentence about the file at `path` if others than those it is for can use it; `what` is its setting and path, or what it is.
pub fn exposure(what: &str, path: &Path) -> Option<String> {
    sentence(what, &path.metadata().ok()?, rustix::process::geteuid().as_raw())
}

fn sentence(what: &str, file: &fs::Metadata, user: u32) -> Option<String> {
    let mode = file.permissions().mode() & 0o777;
    let (open, advice) = if file.uid() == user { (0o066, "600") } else { (0o026, "640, with the group of lobbyd's user") };
    (mode & open != 0).then(|| format!("{what} has mode {mode:04o}: others than those it is for can use it; chmod it {advice}"))
}

#[cfg(test)]
mod tests {
    use lobby_testkit::TempDir;

    use super::*;

    #[test]
    fn ours_are_ours_alone_and_others_give_us_theirs_by_group() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "secret").unwrap();
        let us = rustix::process::geteuid().as_raw();
        let of = |mode, user| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            sentence("KEY /key", &path.metadata().unwrap(), user)
        };
        for (mode, is_told, is_told_to_another) in
            [(0o600, false, false), (0o640, true, false), (0o644, true, true), (0o620, true, true), (0o602, true, true)]
        {
            assert_eq!((of(mode, us).is_some(), of(mode, us + 1).is_some()), (is_told, is_told_to_another), "{mode:o}");
        }
        let want = "KEY /key has mode 0644: others than those it is for can use it; chmod it 600";
        assert_eq!(of(0o644, us).as_deref(), Some(want));
        assert!(of(0o644, us + 1).unwrap().ends_with("chmod it 640, with the group of lobbyd's user"));
        assert_eq!(exposure("KEY", Path::new("/no/such/file")), None);
    }
}
