//! Puts the path of a new file into its check command. Decides how `{{.Path}}` is quoted, so that no path is taken for
//! shell text: an argument without blanks gets it as it is, a text with blanks gets a word.

use std::path::Path;

use super::CommandError;
use crate::settings::CommandSettings;

/// Both spellings.
pub(crate) const PLACES: [&str; 2] = ["{{.Path}}", "{{ .Path }}"];

/// The command with the path in all its places.
pub(crate) fn with_path(command: &CommandSettings, path: &Path) -> Result<CommandSettings, CommandError> {
    let place = |text: &String| {
        let text = text.replace(PLACES[1], PLACES[0]);
        if !text.contains(PLACES[0]) {
            return Ok(text);
        }
        let refused = || CommandError::Path { command: text.clone(), path: path.display().to_string() };
        let path = path.to_str().filter(|path| !path.contains('\0')).ok_or_else(refused)?;
        // A lone word with a blank in it would be taken for shell text.
        let is_shell = text.contains(char::is_whitespace) || command.argv.len() == 1 && path.contains(char::is_whitespace);
        if path.bytes().all(is_plain) || !is_shell {
            return Ok(text.replace(PLACES[0], path));
        }
        let bare = text.replace("\"{{.Path}}\"", PLACES[0]).replace("'{{.Path}}'", PLACES[0]);
        let before_last = bare.rfind(PLACES[0]).map_or("", |at| &bare[..at]);
        // After none of these is a word in single quotes anything but a word.
        if before_last.contains(['"', '\'', '`', '\\', '#']) || before_last.contains("<<") {
            return Err(refused());
        }
        Ok(bare.replace(PLACES[0], &format!("'{}'", path.replace('\'', "'\\''"))))
    };
    let argv = command.argv.iter().map(place).collect::<Result<_, _>>()?;
    Ok(CommandSettings { argv, ..command.clone() })
}

/// Means nothing to a shell, within quotes or without.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+,:=@%".contains(&byte) || byte >= 0x80
}
