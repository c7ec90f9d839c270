//! Reads JSON files: one value, or several one after the other.
//!
//! Small files are read in one piece. Of large ones a value at a time is in memory, and of a large list an
//! element at a time; `kubectl` writes a list's kind after its elements, so that large files are read twice: first
//! to find which of their values are lists, and then to take them.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead};
use std::ops::ControlFlow;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::manifest::{self, Flaw, Found, ListType};
use super::read::{LONGEST_DOCUMENT, Take, too_long, unreadable};

const REMEDY: &str = "correct the file";

/// Takes objects out of bytes.
pub(super) fn read_small(bytes: &[u8], take: Take<'_>) -> ControlFlow<()> {
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>() {
        match value {
            Ok(value) => take_objects(value.get(), None, take)?,
            Err(error) => return take(Found::Flaw(flaw(&error))),
        }
    }
    ControlFlow::Continue(())
}

/// Finds which values of a file are lists. Stops where the file is broken; reading it for good tells of that.
pub(super) fn find_lists(reader: impl BufRead) -> HashMap<u64, ListType> {
    let mut lists = HashMap::new();
    let mut json = serde_json::Deserializer::from_reader(reader);
    for index in 0.. {
        if json.end().is_ok() {
            break;
        }
        match Outline::deserialize(&mut json) {
            Ok(Outline { api_version, kind, items: true }) if ListType::is_list(&kind) => {
                lists.insert(index, ListType { api_version, kind });
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    lists
}

/// Takes objects out of a file whose lists are known.
///
/// # Errors
/// None at present: what can't be read is handed over as a flaw.
pub(super) fn read_large(
    reader: impl BufRead,
    lists: &HashMap<u64, ListType>,
    take: Take<'_>,
) -> io::Result<ControlFlow<()>> {
    let mut json = serde_json::Deserializer::from_reader(reader);
    let mut flow = ControlFlow::Continue(());
    for index in 0.. {
        if flow.is_break() || json.end().is_ok() {
            break;
        }
        let result = match lists.get(&index) {
            Some(list) => (&mut json).deserialize_map(List { list, take, flow: &mut flow }),
            None => Box::<RawValue>::deserialize(&mut json).map(|value| {
                flow = if value.get().len() > LONGEST_DOCUMENT {
                    take(Found::Flaw(too_long()))
                } else {
                    take_objects(value.get(), None, take)
                };
            }),
        };
        if let Err(error) = result {
            if flow.is_continue() {
                flow = take(Found::Flaw(flaw(&error)));
            }
            break;
        }
    }
    Ok(flow)
}

/// Hands over the objects of one value.
pub(super) fn take_objects(json: &str, list: Option<&ListType>, take: Take<'_>) -> ControlFlow<()> {
    let mut flow = ControlFlow::Continue(());
    manifest::objects(json, list, &mut |found| {
        if flow.is_continue() {
            flow = take(found);
        }
    });
    flow
}

fn flaw(error: &serde_json::Error) -> Flaw {
    if error.is_io() {
        return unreadable(&io::Error::from(error.io_error_kind().unwrap_or(io::ErrorKind::InvalidData)));
    }
    let mut flaw = Flaw::new("not valid JSON", REMEDY);
    if error.is_syntax() || error.is_eof() {
        // The place is told apart from the message.
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        flaw.message = format!("not valid JSON: {text}");
    }
    flaw.line = Some(error.line() as u64).filter(|line| *line > 0);
    flaw.column = Some(error.column() as u64).filter(|_| flaw.line.is_some());
    flaw
}

/// What a value is, as far as it decides whether it is a list.
#[derive(Default)]
struct Outline {
    api_version: String,
    kind: String,
    items: bool,
}

impl<'de> serde::Deserialize<'de> for Outline {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Outline;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Outline, A::Error> {
                let mut outline = Outline::default();
                while let Some(field) = fields.next_key::<String>()? {
                    match field.as_str() {
                        "apiVersion" => outline.api_version = fields.next_value()?,
                        "kind" => outline.kind = fields.next_value()?,
                        "items" => {
                            fields.next_value::<IgnoredAny>()?;
                            outline.items = true;
                        }
                        _ => {
                            fields.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(outline)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A list whose elements are handed over as they are read.
struct List<'a, 'b> {
    list: &'a ListType,
    take: &'a mut (dyn FnMut(Found) -> ControlFlow<()> + 'b),
    flow: &'a mut ControlFlow<()>,
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        while let Some(field) = fields.next_key::<String>()? {
            if field == "items" {
                fields.next_value_seed(Elements(&mut self))?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Elements<'c, 'a, 'b>(&'c mut List<'a, 'b>);

impl<'de> DeserializeSeed<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the elements of a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<Box<RawValue>>()? {
            if self.0.flow.is_continue() {
                *self.0.flow = take_objects(element.get(), Some(self.0.list), self.0.take);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const FILES: [&str; 7] = [
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}"#,
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}}\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"b\"}}\n",
        r#"{"apiVersion":"v1","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}],"kind":"PodList"}"#,
        r#"{"apiVersion":"x/v1","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}],"kind":"Shelf","metadata":{"name":"a"}} {"kind":"List","apiVersion":"v1","items":[]}"#,
        r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}, {"apiVersion" }]}"#,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}} nonsense"#,
        "",
    ];

    fn all(read: impl FnOnce(Take<'_>) -> ControlFlow<()>) -> Vec<Found> {
        let mut all = Vec::new();
        assert!(
            read(&mut |found| {
                all.push(found);
                ControlFlow::Continue(())
            })
            .is_continue()
        );
        all
    }

    #[test]
    fn a_file_gives_the_same_objects_in_one_piece_and_element_by_element() {
        for file in FILES {
            let small: Vec<_> = all(|take| read_small(file.as_bytes(), take));
            let lists = find_lists(file.as_bytes());
            let large = all(|take| read_large(file.as_bytes(), &lists, take).unwrap());
            let flawed = |found: &[Found]| found.iter().filter(|f| matches!(f, Found::Flaw(_))).count();
            assert_eq!(flawed(&small), flawed(&large), "{file}");
            if flawed(&small) == 0 {
                assert_eq!(small, large, "{file}");
            }
        }
    }

    #[test]
    fn what_stands_before_an_error_is_taken_and_the_error_has_its_place() {
        let found = all(|take| read_small(FILES[5].as_bytes(), take));
        assert!(matches!(&found[0], Found::Object(object) if object.name.name == "a"));
        assert!(matches!(&found[1], Found::Flaw(flaw) if flaw.line == Some(1) && flaw.column.is_some()));
    }

    #[test]
    fn reading_stops_when_told_so() {
        let lists = find_lists(FILES[2].as_bytes());
        for large in [false, true] {
            let mut count = 0;
            let take: Take<'_> = &mut |_| {
                count += 1;
                ControlFlow::Break(())
            };
            let flow = match large {
                false => read_small(FILES[2].as_bytes(), take),
                true => read_large(FILES[2].as_bytes(), &lists, take).unwrap(),
            };
            assert!(flow.is_break());
            assert_eq!(count, 1);
        }
    }
}
