//! Files and folders: their order, their languages, links, bounds.

use std::fs;
use std::path::{Path, PathBuf};

use lobby_render::config::{Config, ConfigError, FILE_BYTES, FILES, FOLDERS, Partial, load};

use super::all;

fn try_read(paths: &[PathBuf]) -> Result<Config, ConfigError> {
    load(None, paths, Partial::default())?.resolve(|_| None)
}

fn sources(config: &Config) -> Vec<String> {
    let name = |template: &lobby_render::settings::TemplateSettings| template.destination.display().to_string();
    config.settings.templates.iter().map(name).collect()
}

fn template(destination: &str) -> String {
    format!("template {{ source = \"s\" destination = \"{destination}\" }} rate = {}", destination.len())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder can be made");
    fs::write(&path, text).expect("a file can be written");
    path
}

#[test]
fn a_folder_is_its_files_in_lexical_order() {
    let dir = folder();
    write(dir.path(), "b.hcl", template("2"));
    write(dir.path(), "a/z", template("1"));
    write(dir.path(), "c.json", r#"{"template": [{"source": "s", "destination": "3"}], "once": true}"#);
    write(dir.path(), "d.toml", "rate = 44\n[[template]]\nsource = 's'\ndestination = '4'\n");
    let elsewhere = folder();
    let linked = write(elsewhere.path(), "linked", template("5"));
    std::os::unix::fs::symlink(&linked, dir.path().join("e")).expect("a link can be made");
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("f")).expect("a link can be made");
    let config = try_read(&[dir.path().to_owned()]).expect("it is good");
    assert_eq!((sources(&config), config.settings.rate), (["1", "2", "3", "4"].map(String::from).to_vec(), 44));
    // What is named is read, link or not, from left to right.
    let config = try_read(&[dir.path().join("e"), dir.path().join("a"), dir.path().join("f")]).expect("it is good");
    assert_eq!(sources(&config), ["5", "1", "5"]);
}

#[test]
fn errors_name_the_file() {
    let dir = folder();
    let path = write(dir.path(), "x/bad.hcl", "rate = 1\nonce =");
    let text = all(&try_read(&[dir.path().to_owned()]).expect_err("it is bad"));
    assert!(text.starts_with(&format!("{}: line 2, column 7: expected a value", path.display())), "{text}");
    let path = write(dir.path(), "x/bad.hcl", [0xff, 0xfe]);
    assert!(
        matches!(try_read(&[path]), Err(ConfigError::Unreadable { cause, .. }) if cause.kind() == std::io::ErrorKind::InvalidData)
    );
    let missing = dir.path().join("missing");
    assert!(matches!(try_read(std::slice::from_ref(&missing)), Err(ConfigError::Unreadable { path, .. }) if path == missing));
    let text = all(&load(Some("x = 1"), &[], Partial::default()).expect_err("it is bad"));
    assert!(text.starts_with("CT_LOCAL_CONFIG: line 1: unknown key"), "{text}");
}

#[test]
fn bounds() {
    let dir = folder();
    let path = write(dir.path(), "big/a", "#".repeat(FILE_BYTES));
    assert!(try_read(std::slice::from_ref(&path)).is_ok());
    fs::write(&path, "#".repeat(FILE_BYTES + 1)).expect("a file can be written");
    assert!(matches!(try_read(&[path]), Err(ConfigError::TooMuch { limit: FILE_BYTES, .. })));
    for idx in 0..FILES {
        write(dir.path(), &format!("many/{:02}/{idx}", idx % 2), "");
    }
    let many = [dir.path().join("many")];
    assert!(try_read(&many).is_ok());
    write(dir.path(), "many/00/more", "");
    assert!(matches!(try_read(&many), Err(ConfigError::TooMuch { limit: FILES, .. })));
    let deep = |folders: usize| format!("deep/{}a", "x/".repeat(folders));
    write(dir.path(), &deep(FOLDERS), "");
    assert!(try_read(&[dir.path().join("deep")]).is_ok());
    write(dir.path(), &deep(FOLDERS + 1), "");
    assert!(matches!(try_read(&[dir.path().join("deep")]), Err(ConfigError::TooMuch { limit: FOLDERS, .. })));
}
