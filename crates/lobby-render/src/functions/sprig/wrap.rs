//! sprig's functions that make a text fit into a width, counted in bytes as sprig does. Decides where it is cut.

use lobby_template::format::Out;
use lobby_template::{CallError, Type, Value};

use super::Named;
use crate::functions::arg::{Given, bytes, int, of, written};

pub(super) fn funcs() -> Vec<Named> {
    const WIDTH: [Type; 2] = [Type::INT, Type::Str];
    vec![
        ("sprig_abbrev", of(&WIDTH, |_, args| abbreviated(0, int(args, 0)?, bytes(args, 1)?))),
        (
            "sprig_abbrevboth",
            of(&[Type::INT, Type::INT, Type::Str], |_, args| abbreviated(int(args, 0)?, int(args, 1)?, bytes(args, 2)?)),
        ),
        ("sprig_wrap", of(&WIDTH, |room, args| wrapped(room, b"\n", false, int(args, 0)?, bytes(args, 1)?))),
        (
            "sprig_wrapWith",
            of(&[Type::INT, Type::Str, Type::Str], |room, args| {
                let newline = bytes(args, 1)?;
                wrapped(room, if newline.is_empty() { b"\n" } else { newline }, true, int(args, 0)?, bytes(args, 2)?)
            }),
        ),
    ]
}

const DOTS: &[u8] = b"...";

/// With dots for what is too much, at the end or, if `offset` is far enough in, at both ends.
fn abbreviated(offset: i64, width: i64, text: &[u8]) -> Given {
    if width < 4 || (offset > 0 && width < 7) {
        return Ok(Value::Str(text.into()));
    }
    let (offset, width) = (usize::try_from(offset).unwrap_or(0), usize::try_from(width).unwrap_or(usize::MAX));
    Ok(Value::Str(cut(offset, width, text).into()))
}

/// Four wide at least, or seven with an offset.
fn cut(offset: usize, width: usize, text: &[u8]) -> Vec<u8> {
    if text.len() <= width {
        return text.into();
    }
    let kept = width - DOTS.len();
    let offset = offset.min(text.len() - kept);
    if offset <= 4 {
        return [&text[..kept], DOTS].concat();
    }
    match offset + kept < text.len() {
        true => [DOTS, &cut(0, kept, &text[offset..])].concat(),
        false => [DOTS, &text[text.len() - kept..]].concat(),
    }
}

/// Broken at blanks; words that are too long are cut only if `cuts`.
fn wrapped(room: usize, newline: &[u8], cuts: bool, width: i64, text: &[u8]) -> Given {
    let width = usize::try_from(width.max(1)).unwrap_or(usize::MAX);
    let wrapped = written(room, |out| lines(out, newline, cuts, width, text))?;
    Ok(Value::Str(wrapped.into()))
}

fn lines(out: &mut Out, newline: &[u8], cuts: bool, width: usize, text: &[u8]) -> Result<(), CallError> {
    let mut rest = text;
    while rest.len() > width && !out.is_full() {
        if let [b' ', after @ ..] = rest {
            rest = after;
            continue;
        }
        let blank = rest[..=width].iter().rposition(|byte| *byte == b' ');
        let end = match blank {
            None if cuts => Some((width, width)),
            None => rest[width..].iter().position(|byte| *byte == b' ').map(|at| (width + at, width + at + 1)),
            Some(at) => Some((at, at + 1)),
        };
        let Some((end, next)) = end else { break };
        out.extend_from_slice(&rest[..end]);
        out.extend_from_slice(newline);
        rest = &rest[next..];
    }
    out.extend_from_slice(rest);
    Ok(())
}
