//! The list of files: what is removed and what never is, what a crash leaves, and lists that cannot be trusted.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A first line.
const GOOD: &str = "lobby files 2 0123456789abcdef";

fn set(files: &[&PathBuf]) -> BTreeSet<PathBuf> {
    files.iter().map(|file| (*file).clone()).collect()
}

/// Files that are to hold nothing.
fn empty(files: impl IntoIterator<Item = PathBuf>) -> impl Iterator<Item = (PathBuf, &'static [u8])> {
    files.into_iter().map(|file| (file, b"".as_slice()))
}

#[test]
fn only_listed_files_whose_items_are_gone_are_removed() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (list, web, db, other) = (path("state/list"), path("web.conf"), path("db.conf"), path("other.conf"));
    let mut manifest = Manifest::open(&list).unwrap();
    assert_eq!(manifest.files().count(), 0);
    manifest.list(empty([web.clone(), db.clone()])).unwrap();
    for file in [&web, &db, &other, &path(".db.conf.lobby-new"), &path(".db.conf.lobby-last"), &path(".other.conf.lobby-new")] {
        fs::write(file, "text").unwrap();
    }
    // As a later process.
    let mut manifest = Manifest::open(&list).unwrap();
    let removed = manifest.remove_all_but(&set(&[&web]), &BTreeSet::new()).unwrap();
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
    manifest.list(empty([never.clone(), list.join("below-a-file")])).unwrap();
    let removed = manifest.remove_all_but(&BTreeSet::new(), &BTreeSet::new()).unwrap();
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
    manifest.list(empty([path("folder"), path("link")])).unwrap();
    let removed = manifest.remove_all_but(&BTreeSet::new(), &BTreeSet::new()).unwrap();
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
    assert!(check(b"lobby files 2 0123456789abcdef\n0123456789abcdef /a\n", 0o644).is_ok());
    let damaged: [(&str, usize); 12] = [
        ("", 1),
        ("HEAD", 1),
        ("lobby files 1\n/a\n", 1),
        ("lobby files 2 0123456789abcde\n", 1),
        ("lobby files 2 0123456789abcdef0\n", 1),
        ("HEAD\n0123456789abcdef /a\n0123456789abcdef /half", 3),
        ("HEAD\n0123456789abcdef relative\n", 2),
        ("HEAD\n\n", 2),
        ("HEAD\n0123456789abcdef/a\n", 2),
        ("HEAD\n+123456789abcdef /a\n", 2),
        ("HEAD\n0123456789abcdef /a\\x\n", 2),
        ("HEAD\n0123456789abcdef /a\\\n", 2),
    ];
    for (text, at) in damaged {
        let err = check(text.replace("HEAD", GOOD).as_bytes(), 0o600).unwrap_err();
        assert!(matches!(&err, ManifestError::Damaged { line, .. } if *line == at), "{err}");
    }
    for mode in [0o620, 0o602] {
        assert!(matches!(check(format!("{GOOD}\n").as_bytes(), mode), Err(ManifestError::Unsafe(_))));
    }
    assert!(matches!(Manifest::open(folder.path()), Err(ManifestError::Unsafe(_))));
}

#[test]
fn a_list_is_bounded() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("list");
    let mut manifest = Manifest::open(&list).unwrap();
    let files = |from: usize, to: usize| (from..to).map(|number| PathBuf::from(format!("/nonexistent/lobby/{number}")));
    manifest.list(empty(files(0, MAX_FILES))).unwrap();
    assert!(matches!(manifest.list(empty(files(MAX_FILES, MAX_FILES + 1))), Err(ManifestError::TooMany { .. })));
    assert_eq!((manifest.files().count(), Manifest::open(&list).unwrap().files().count()), (MAX_FILES, MAX_FILES));
    let long = "x".repeat(1 + MAX_BYTES as usize / 8);
    let mut other = Manifest::open(&folder.path().join("other")).unwrap();
    let long_ones = (0..8).map(|number| PathBuf::from(format!("/{number}{long}")));
    assert!(matches!(other.list(empty(long_ones)), Err(ManifestError::TooMany { .. })));
    assert_eq!(other.files().count(), 0);
}

#[test]
fn a_file_of_another_template_is_struck_off_and_stays() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("f"), "text").unwrap();
    fs::create_dir(path("real")).unwrap();
    symlink("..", path("real/up")).unwrap();
    let mut manifest = Manifest::open(&path("list")).unwrap();
    manifest.list(empty([path("real/up/f")])).unwrap();
    let removed = manifest.remove_all_but(&BTreeSet::new(), &set(&[&path("f")])).unwrap();
    assert!(removed.files.is_empty() && removed.failed.is_empty() && path("f").exists());
    assert_eq!(Manifest::open(&path("list")).unwrap().files().count(), 0);
}

#[test]
fn abandoned_lists_lose_what_nobody_has_changed() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let list = |name: &str, owner: &str, files: &[&str]| {
        let mut manifest = Manifest::open(&path(name)).unwrap().of(owner);
        manifest.list(files.iter().map(|file| (path(file), file.as_bytes()))).unwrap();
        files.iter().for_each(|file| fs::write(path(file), file).unwrap());
        path(name)
    };
    fs::create_dir(path("far")).unwrap();
    let known = list(".1.lobby-files", "us", &["kept"]);
    let old = list(".2.lobby-files", "us", &["gone", "changed", "another's", "missing"]);
    let theirs = list(".3.lobby-files", "them", &["theirs"]);
    let far = list("far/.4.lobby-files", "us", &["far/gone"]);
    fs::write(path("changed"), "by hand").unwrap();
    fs::remove_file(path("missing")).unwrap();
    fs::write(path(".5.lobby-files"), "no list").unwrap();
    let others = BTreeSet::from([path("another's")]);
    let (known, before) = (BTreeSet::from([known]), BTreeSet::from([far.clone()]));
    let lists = |owner: &str, before| Lists { owner: owner.into(), known: known.clone(), before };
    assert_eq!(lists("", before.clone()).clear(&others), 0, "nobody's");
    assert_eq!(lists("us", BTreeSet::new()).clear(&others), 1);
    for (name, is_there) in [("kept", true), ("gone", false), ("changed", true), ("another's", true), ("theirs", true)] {
        assert_eq!(path(name).exists(), is_there, "{name}");
    }
    assert_eq!([old, theirs, far.clone()].map(|list| list.exists()), [false, true, true]);
    assert_eq!((lists("us", before).clear(&others), far.exists(), path("far/gone").exists()), (1, false, false));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(names in prop::collection::btree_set(prop::collection::vec(1u8..=255, 1..20), 0..20)) {
        let folder = TempDir::new().unwrap();
        let list = folder.path().join("list");
        let files: BTreeSet<_> = names.into_iter().map(|name| Path::new("/r").join(OsString::from_vec(name))).collect();
        let mut manifest = Manifest::open(&list).unwrap();
        manifest.list(empty(files)).unwrap();
        let again = Manifest::open(&list).unwrap();
        prop_assert!(again.files().eq(manifest.files()));
    }

    #[test]
    fn no_bytes_panic(text in prop::collection::vec(prop::sample::select(b"012345678 \n/\\n\0\xff".to_vec()), 0..60)) {
        let folder = TempDir::new().unwrap();
        let list = folder.path().join("list");
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes.extend(text);
        fs::write(&list, bytes).unwrap();
        let _ = Manifest::open(&list);
    }
}
