//! The list of files: what is removed and what never is, what a crash leaves, and lists that cannot be trusted.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn set(files: &[&PathBuf]) -> BTreeSet<PathBuf> {
    files.iter().map(|file| (*file).clone()).collect()
}

#[test]
fn only_listed_files_whose_items_are_gone_are_removed() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (list, web, db, other) = (path("state/list"), path("web.conf"), path("db.conf"), path("other.conf"));
    let mut manifest = Manifest::open(&list).unwrap();
    assert_eq!(manifest.files().count(), 0);
    manifest.list([web.clone(), db.clone()]).unwrap();
    for file in [&web, &db, &other, &path(".db.conf.lobby-new"), &path(".db.conf.lobby-last"), &path(".other.conf.lobby-new")] {
        fs::write(file, "text").unwrap();
    }
    // As a later process.
    let mut manifest = Manifest::open(&list).unwrap();
    let removed = manifest.remove_all_but(&set(&[&web])).unwrap();
    assert_eq!((removed.files, removed.failed.len()), (vec![db.clone()], 0));
    assert_eq!([&web, &db, &other].map(|file| file.exists()), [true, false, true]);
    assert!(!path(".db.conf.lobby-new").exists() && !path(".db.conf.lobby-last").exists());
    assert!(path(".other.conf.lobby-new").exists());
    assert_eq!(Manifest::open(&list).unwrap().files().collect::<Vec<_>>(), [&web]);
    assert_eq!(fs::metadata(&list).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_was_listed_but_not_made_is_no_trouble() {
    let folder = TempDir::new().unwrap();
    let (list, never) = (folder.path().join("list"), folder.path().join("no/such/folder/f"));
    let mut manifest = Manifest::open(&list).unwrap();
    manifest.list([never.clone(), list.join("below-a-file")]).unwrap();
    let removed = manifest.remove_all_but(&BTreeSet::new()).unwrap();
    assert!(removed.files.is_empty() && removed.failed.is_empty());
    assert_eq!(Manifest::open(&list).unwrap().files().count(), 0);
}

#[test]
fn what_is_no_file_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("precious"), "text").unwrap();
    symlink(path("precious"), path("link")).unwrap();
    let mut manifest = Manifest::open(&path("list")).unwrap();
    manifest.list([path("folder"), path("link")]).unwrap();
    let removed = manifest.remove_all_but(&BTreeSet::new()).unwrap();
    assert!(removed.files.is_empty() && removed.failed.is_empty());
    assert!(path("folder").exists() && path("link").is_symlink() && path("precious").exists());
}

#[test]
fn lists_that_cannot_be_trusted_are_refused() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("list");
    let check = |text: &[u8], mode: u32| {
        fs::write(&list, text).unwrap();
        fs::set_permissions(&list, fs::Permissions::from_mode(mode)).unwrap();
        Manifest::open(&list)
    };
    assert!(check(b"lobby files 1\n/a\n", 0o644).is_ok());
    let damaged: [(&[u8], usize); 8] = [
        (b"", 1),
        (b"lobby files 1", 1),
        (b"lobby files 2\n/a\n", 1),
        (b"lobby files 1\n/a\n/half", 3),
        (b"lobby files 1\nrelative\n", 2),
        (b"lobby files 1\n\n", 2),
        (b"lobby files 1\n/a\\x\n", 2),
        (b"lobby files 1\n/a\\\n", 2),
    ];
    for (text, at) in damaged {
        let err = check(text, 0o600).unwrap_err();
        assert!(matches!(&err, ManifestError::Damaged { line, .. } if *line == at), "{err}");
    }
    for mode in [0o620, 0o602] {
        assert!(matches!(check(b"lobby files 1\n", mode), Err(ManifestError::Unsafe(_))));
    }
    assert!(matches!(Manifest::open(folder.path()), Err(ManifestError::Unsafe(_))));
}

#[test]
fn a_list_is_bounded() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("list");
    let mut manifest = Manifest::open(&list).unwrap();
    let files = |from: usize, to: usize| (from..to).map(|number| PathBuf::from(format!("/nonexistent/lobby/{number}")));
    manifest.list(files(0, MAX_FILES)).unwrap();
    assert!(matches!(manifest.list(files(MAX_FILES, MAX_FILES + 1)), Err(ManifestError::TooMany { .. })));
    assert_eq!((manifest.files().count(), Manifest::open(&list).unwrap().files().count()), (MAX_FILES, MAX_FILES));
    let long = "x".repeat(1 + MAX_BYTES as usize / 8);
    let mut other = Manifest::open(&folder.path().join("other")).unwrap();
    let long_ones = (0..8).map(|number| PathBuf::from(format!("/{number}{long}")));
    assert!(matches!(other.list(long_ones), Err(ManifestError::TooMany { .. })));
    assert_eq!(other.files().count(), 0);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(names in prop::collection::btree_set(prop::collection::vec(1u8..=255, 1..20), 0..20)) {
        let folder = TempDir::new().unwrap();
        let list = folder.path().join("list");
        let files: BTreeSet<_> = names.into_iter().map(|name| Path::new("/r").join(OsString::from_vec(name))).collect();
        let mut manifest = Manifest::open(&list).unwrap();
        manifest.list(files).unwrap();
        let again = Manifest::open(&list).unwrap();
        prop_assert!(again.files().eq(manifest.files()));
    }

    #[test]
    fn no_bytes_panic(text in prop::collection::vec(prop::sample::select(b"lobby files 1\n/\\n\0\xff".to_vec()), 0..60)) {
        let folder = TempDir::new().unwrap();
        let list = folder.path().join("list");
        let mut bytes = HEAD.to_vec();
        bytes.extend(text);
        fs::write(&list, bytes).unwrap();
        let _ = Manifest::open(&list);
    }
}
