//! What the journal needs of a disk, and the disk it has: one file, its draft beside it, and the folder of both.
//!
//! Everything blocks; the journal's thread calls it. A trait, so that tests can let each step fail (`fake.rs`).
//! Not here: when which step is taken (`log.rs`).

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use lobby_exchange::file;

/// The names around one journal.
pub(super) trait Disk: Send + 'static {
    /// An open file.
    type File: DiskFile;

    /// All of the journal; `None` when there is none.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// The journal for writing, made when there is none.
    fn open(&mut self) -> io::Result<Self::File>;

    /// Keeps bytes beside the journal, durably, instead of those kept before.
    fn set_aside(&mut self, rest: &[u8]) -> io::Result<()>;

    /// A new empty file beside the journal, instead of an earlier one.
    fn make_draft(&mut self) -> io::Result<Self::File>;

    /// Gives the draft the journal's name.
    fn publish_draft(&mut self) -> io::Result<()>;

    /// Removes the draft, if there is one.
    fn discard_draft(&mut self);

    /// Makes names durable: a new file, a published draft.
    fn sync_folder(&mut self) -> io::Result<()>;
}

/// An open file of a [`Disk`].
pub(super) trait DiskFile: Send {
    /// Writes all bytes there. After an error any part of them may have been written.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Cuts the file.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Makes content and length durable (fdatasync).
    fn sync(&mut self) -> io::Result<()>;
}

/// A journal in the file system. The draft of `DIR/NAME` is `DIR/.NAME~`, what is kept aside `DIR/NAME.damaged`.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    draft: PathBuf,
    most: u64,
}

impl Folder {
    /// The journal of this path, of at most `most` bytes.
    pub(super) fn new(path: &Path, most: u64) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self { path: path.to_owned(), draft: path.with_file_name(format!(".{name}~")), most }
    }
}

impl Disk for Folder {
    type File = File;

    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        file::read(&self.path, usize::try_from(self.most).unwrap_or(usize::MAX))
    }

    fn open(&mut self) -> io::Result<File> {
        private(OpenOptions::new().create(true).truncate(false), &self.path)
    }

    fn set_aside(&mut self, rest: &[u8]) -> io::Result<()> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".damaged");
        file::replace(Path::new(&aside), 0o600, rest)
    }

    fn make_draft(&mut self) -> io::Result<File> {
        private(OpenOptions::new().create(true).truncate(true), &self.draft)
    }

    fn publish_draft(&mut self) -> io::Result<()> {
        fs::rename(&self.draft, &self.path)
    }

    fn discard_draft(&mut self) {
        // There is usually none, and one that cannot be removed is hidden and harmless.
        _ = fs::remove_file(&self.draft);
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match File::open(folder)?.sync_all() {
            // Some file systems cannot sync a folder; they need not, or nobody could.
            Err(err) if matches!(err.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            result => result,
        }
    }
}

/// Opens for writing, for its owner only, whatever the umask or whoever made it.
fn private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.write(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

impl DiskFile for File {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
