//! The little of XML that EC2 answers in, one pass, nothing kept. Decides what is refused: declarations of types, unknown
//! entities, tags that do not match, too much depth. Attributes and namespaces are passed over.

/// Elements within each other. An answer of DescribeInstances has ten.
const DEPTH: usize = 32;

/// What is met, in order; the path is that of the elements that are open, this one included.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// An element begins.
    Open,
    /// It ends; its own text, if it has no elements in it.
    Close(&'a str),
}

/// Tells of each element.
pub(super) fn walk(xml: &str, mut on: impl FnMut(&[&str], Event<'_>)) -> Result<(), String> {
    let mut path: Vec<&str> = Vec::new();
    let (mut text, mut has_root) = (String::new(), false);
    let mut rest = xml.trim_start_matches('\u{feff}');
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        unescape(before, &mut text)?;
        if path.is_empty() && !text.trim().is_empty() {
            return Err("text outside of the element".into());
        }
        if let Some(instruction) = tag.strip_prefix("<?") {
            rest = after(instruction, "?>")?.1;
        } else if let Some(comment) = tag.strip_prefix("<!--") {
            rest = after(comment, "-->")?.1;
        } else if let Some(data) = tag.strip_prefix("<![CDATA[") {
            let (data, next) = after(data, "]]>")?;
            text.push_str(data);
            rest = next;
        } else if tag.starts_with("<!") {
            return Err("declarations are not read".into());
        } else if let Some(end) = tag.strip_prefix("</") {
            let (name, next) = after(end, ">")?;
            if path.last() != Some(&local(name.trim_end())) {
                return Err(format!("</{}> ends another element", clipped(name)));
            }
            on(&path, Event::Close(&text));
            text.clear();
            path.pop();
            rest = next;
        } else {
            let (inside, next) = open(&tag[1..])?;
            let (inside, is_empty) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
            let name = local(inside.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default());
            if name.is_empty() || (path.is_empty() && has_root) || path.len() == DEPTH {
                return Err(format!("<{}> has no place", clipped(inside)));
            }
            has_root = true;
            path.push(name);
            text.clear();
            on(&path, Event::Open);
            if is_empty {
                on(&path, Event::Close(""));
                path.pop();
            }
            rest = next;
        }
    }
    match path.last() {
        None if has_root && rest.trim().is_empty() => Ok(()),
        None => Err("no element".into()),
        Some(name) => Err(format!("<{}> does not end", clipped(name))),
    }
}

/// What stands before the mark, and after it.
fn after<'a>(text: &'a str, mark: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once(mark).ok_or_else(|| format!("{mark:?} is missing"))
}

/// The inside of a tag up to the bracket that is in no quotes, and what comes after it.
fn open(tag: &str) -> Result<(&str, &str), String> {
    let mut quote = None;
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (None, '>') => return Ok((&tag[..at], &tag[at + 1..])),
            (None, '<') => break,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    Err("a tag does not end".into())
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Adds the text; of entities only the five of XML and numbers.
fn unescape(mut raw: &str, text: &mut String) -> Result<(), String> {
    while let Some((before, entity)) = raw.split_once('&') {
        text.push_str(before);
        let (name, rest) = entity.split_once(';').ok_or("an entity does not end")?;
        let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        let c = match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => match name.strip_prefix("#x") {
                Some(digits) => number(digits, 16),
                None => name.strip_prefix('#').and_then(|digits| number(digits, 10)),
            },
        };
        text.push(c.ok_or_else(|| format!("unknown entity &{};", clipped(name)))?);
        raw = rest;
    }
    text.push_str(raw);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn closed(xml: &str) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        walk(xml, |path, event| {
            if let Event::Close(text) = event {
                all.push(format!("{}={text}", path.join("/")));
            }
        })?;
        Ok(all)
    }

    #[test]
    fn elements_are_told_with_their_path_and_text() {
        let xml = "\u{feff}<?xml version=\"1.0\"?>\n<!-- > -->\n<n:a xmlns:n='>'><b c=\"/>\">1 &lt;&#x41;&#66;</b ><b/><b><![CDATA[<&]]></b>\n</n:a>\n";
        assert_eq!(closed(xml).unwrap(), ["a/b=1 <AB", "a/b=", "a/b=<&", "a=\n"]);
    }

    #[test]
    fn what_is_no_such_answer_is_refused() {
        let deep = |n: usize| "<a>".repeat(n) + &"</a>".repeat(n);
        assert!(closed(&deep(DEPTH)).is_ok());
        for bad in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><a/>",
            "x<a/>",
            "<a/>x",
            "<a",
            "<a b='></a>",
            "<>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            "<a>&b;</a>",
            "<a>&#xD800;</a>",
            "<a>&amp</a>",
            "<a><!-- </a>",
            &deep(DEPTH + 1),
        ] {
            assert!(closed(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[<>/!?&;#a-c'\"=\\[\\]-]{0,40}") {
            let _ = closed(&text);
        }
    }
}
