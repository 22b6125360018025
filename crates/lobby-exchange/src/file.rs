//! Small files that survive a crash: read within a bound, replaced by rename so that readers see the old or the new one.
//!
//! Everything here blocks; a task calls it on a thread for that. Not here: what stands in the files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Reads a file of at most `most` bytes; `None` when there is none.
///
/// # Errors
/// When it cannot be read, or is longer ([`io::ErrorKind::InvalidData`]).
pub fn read(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut content = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut content)?;
    if content.len() > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {most} bytes")));
    }
    Ok(Some(content))
}

/// Writes a file through a temporary neighbour and a rename. The file has exactly this mode, whatever the umask.
///
/// # Errors
/// When the neighbour cannot be written or renamed; the old file is then as it was.
pub fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    // A leading dot keeps the neighbour out of lists of the folder.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}~", std::process::id()));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&draft)?;
    let result = file
        .set_permissions(fs::Permissions::from_mode(mode))
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, path));
    match &result {
        // A power cut after this must not bring the old file back. Some file systems cannot sync a folder.
        Ok(()) => _ = path.parent().map(|folder| File::open(folder)?.sync_all()),
        // The error that counts is the first one; the draft is hidden and harmless.
        Err(_) => _ = fs::remove_file(&draft),
    }
    result
}

#[cfg(test)]
mod tests {
    use lobby_testkit::TempDir;

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        assert_eq!(read(&path, 3).unwrap(), None);
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        replace(&path, 0o600, b"new").unwrap();
        assert_eq!(read(&path, 3).unwrap().as_deref(), Some(&b"new"[..]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(read(&path, 2).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(replace(&folder.path().join("no/such/folder"), 0o600, b"").is_err());
    }
}
