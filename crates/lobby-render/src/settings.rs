//! What the runner is told to do. Decides the model that configuration files, flags and lobbyd's `[[template]]` blocks have in
//! common, and its defaults (consul-template's where it has them); reading them is `config`.

use std::path::PathBuf;
use std::time::Duration;

/// Everything that a runner does.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// In the order in which they are rendered, and their commands run.
    pub templates: Vec<TemplateSettings>,
    /// A program that runs while the files are there, and is told of changes.
    pub exec: Option<ExecSettings>,
    /// How long changes are gathered, for templates that do not say so themselves.
    pub wait: Option<Wait>,
    /// Render once, then end.
    pub once: bool,
    /// Print instead of writing; run nothing.
    pub dry: bool,
    /// At most so many renderings a second over all templates; more wait.
    pub rate: u32,
    /// Spread commands over the fleet.
    pub stagger: Option<Stagger>,
}

/// One file, or one file for each of something.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateSettings {
    /// Which one of the configuration it is, from 1 on, for messages. 0: the place among those of the runner is told.
    pub number: usize,
    /// Where the text of the template comes from.
    pub source: TemplateSource,
    /// Empty: only with `dry`.
    pub destination: PathBuf,
    /// Make missing folders (mode 0755).
    pub create_dest_dirs: bool,
    /// Run after the file changed.
    pub command: Option<CommandSettings>,
    /// Run before the file is put in place, with `{{.Path}}` the new text: if it fails, nothing is changed.
    pub check: Option<CommandSettings>,
    /// If the command fails, put the last good file back and run it again.
    pub roll_back: bool,
    /// None: as the file has them, else 0644.
    pub perms: Option<u32>,
    /// Name or number; None: as the file has it.
    pub user: Option<String>,
    /// Name or number; None: as the file has it.
    pub group: Option<String>,
    /// Keep the file before as `DESTINATION.bak`.
    pub backup: bool,
    /// None: `{{`.
    pub left_delimiter: Option<String>,
    /// None: `}}`.
    pub right_delimiter: Option<String>,
    /// None: the runner's.
    pub wait: Option<Wait>,
    /// A key that a map has not is an error.
    pub error_on_missing_key: bool,
    /// An error in this template ends the runner; else the last file stays.
    pub error_fatal: bool,
    /// Functions that templates may not call, as globs.
    pub function_denylist: Vec<String>,
    /// `file` stays below this folder.
    pub sandbox_path: Option<PathBuf>,
    /// One file for each item, named by a `destination` that is a template of it.
    pub for_each: Option<ForEach>,
}

impl TemplateSettings {
    /// One file of this text, and nothing else said.
    pub fn new(source: TemplateSource, destination: impl Into<PathBuf>) -> Self {
        Self {
            number: 0,
            source,
            destination: destination.into(),
            create_dest_dirs: true,
            command: None,
            check: None,
            roll_back: false,
            perms: None,
            user: None,
            group: None,
            backup: false,
            left_delimiter: None,
            right_delimiter: None,
            wait: None,
            error_on_missing_key: false,
            error_fatal: true,
            function_denylist: Vec::new(),
            sandbox_path: None,
            for_each: None,
        }
    }
}

impl TemplateSettings {
    /// What messages call it: which one it is (the one at `index` from 0, if that is not known), its text and its file.
    pub fn called(&self, index: usize) -> String {
        let (source, number) = (self.source.name(), if self.number == 0 { index + 1 } else { self.number });
        match self.destination.as_os_str().is_empty() {
            true => format!("template {number} ({source})"),
            false => format!("template {number} ({source} -> {})", self.destination.display()),
        }
    }
}

impl TemplateSource {
    /// What errors call it: the file, or `(dynamic)`.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Contents(_) => "(dynamic)".into(),
        }
    }
}

/// Where the text of a template comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplateSource {
    /// A file.
    File(PathBuf),
    /// Its own text; called `(dynamic)` in errors.
    Contents(String),
}

/// What one file is rendered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForEach {
    /// Each service name.
    Service,
    /// Each node that the selector takes; empty: all.
    Node(String),
}

/// A command that ends.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandSettings {
    /// One word is a program; one text with blanks is for `sh -c`; several are a program with its arguments.
    pub argv: Vec<String>,
    /// Killed after this. Zero: it is not waited for (a check cannot have that).
    pub timeout: Duration,
    /// What it finds in its environment.
    pub env: Env,
}

/// A program that goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecSettings {
    /// As in [`CommandSettings`].
    pub argv: Vec<String>,
    /// What it finds in its environment.
    pub env: Env,
    /// Told when a file changed; None: it is ended and started again.
    pub reload_signal: Option<i32>,
    /// Ends it.
    pub kill_signal: i32,
    /// Killed by force after this.
    pub kill_timeout: Duration,
    /// Up to this, by chance, before it is told or ended.
    pub splay: Duration,
}

/// The environment of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Env {
    /// Nothing is inherited.
    pub pristine: bool,
    /// `NAME=VALUE`, over all else.
    pub custom: Vec<String>,
    /// Globs of what is inherited; empty: all.
    pub allowlist: Vec<String>,
    /// Globs of what is not, whatever the list above says.
    pub denylist: Vec<String>,
}

/// Changes are gathered until none came for `min`, at most for `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Quiet for this long.
    pub min: Duration,
    /// But rendered after this.
    pub max: Duration,
}

/// Commands of a fleet do not all run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stagger {
    /// So many agents at a time.
    pub at_once: u32,
    /// How long one agent's command may take.
    pub slot: Duration,
}
