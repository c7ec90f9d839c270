//! Texts: cel-go's strings. Positions are by code point.

use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr};
use cel::common::value::CowVal;
use cel::{Context, DeclarationError, Env, IdedExpr, Value};

use super::super::functions::read;
use super::{
    Answer, Arguments, INT, LIST, TEXT, TEXT_UNIT, exhausted, failure, functions, int, items, made, members,
    pay, position, text, text_in, texts,
};

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    functions(env, [("strings.quote", &[TEXT], quote)])?;
    members(
        env,
        [
            ("charAt", &[TEXT, INT], char_at),
            ("indexOf", &[TEXT, TEXT], index_of),
            ("indexOf", &[TEXT, TEXT, INT], index_of),
            ("lastIndexOf", &[TEXT, TEXT], last_index_of),
            ("lastIndexOf", &[TEXT, TEXT, INT], last_index_of),
            ("join", &[LIST], join),
            ("join", &[LIST, TEXT], join),
            ("lowerAscii", &[TEXT], |arguments| made(text(&arguments, 0)?.to_ascii_lowercase())),
            ("upperAscii", &[TEXT], |arguments| made(text(&arguments, 0)?.to_ascii_uppercase())),
            ("replace", &[TEXT, TEXT, TEXT], replace),
            ("replace", &[TEXT, TEXT, TEXT, INT], replace),
            ("split", &[TEXT, TEXT], split),
            ("split", &[TEXT, TEXT, INT], split),
            ("substring", &[TEXT, INT], substring),
            ("substring", &[TEXT, INT, INT], substring),
            ("trim", &[TEXT], |arguments| made(text(&arguments, 0)?.trim().to_owned())),
            ("reverse", &[TEXT], |arguments| made(text(&arguments, 0)?.chars().rev().collect())),
            ("format", &[TEXT, LIST], format),
        ],
    )
}

/// Where the code point at a position starts, or the text's end at its length. `None` beyond it.
fn offset(text: &str, position: i64) -> Option<usize> {
    let position = usize::try_from(position).ok()?;
    text.char_indices().map(|(offset, _)| offset).chain([text.len()]).nth(position)
}

/// The position of the code point that starts at an offset.
fn position_at(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(0, |before| before.chars().count())
}

fn char_at<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (text, at) = (text(&arguments, 0)?, int(&arguments, 1)?);
    let start =
        offset(text, at).ok_or_else(|| failure("charAt", "is given a position outside of the text"))?;
    made(text.get(start..).and_then(|rest| rest.chars().next()).map(String::from).unwrap_or_default())
}

fn index_of<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (text, part) = (text(&arguments, 0)?, text(&arguments, 1)?);
    let from = if arguments.len() == 3 { int(&arguments, 2)? } else { 0 };
    if from < 0 {
        return Err(failure("indexOf", "is given a position outside of the text"));
    }
    // From beyond the end nothing is found but the empty text, at the end.
    let start = offset(text, from).unwrap_or(text.len());
    let found = text.get(start..).and_then(|rest| rest.find(part));
    position(found.map(|found| position_at(text, start + found)))
}

fn last_index_of<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (text, part) = (text(&arguments, 0)?, text(&arguments, 1)?);
    let mut end = text.len();
    if arguments.len() == 3 {
        let last = int(&arguments, 2)?;
        if last < 0 {
            return Err(failure("lastIndexOf", "is given a position outside of the text"));
        }
        match offset(text, last) {
            Some(start) if start < text.len() || part.is_empty() => {
                end = text.floor_char_boundary(start.saturating_add(part.len()).min(end));
            }
            _ if part.is_empty() => {}
            // As cel-go has it: from beyond the end nothing is found.
            _ => return position(None),
        }
    }
    position(text.get(..end).and_then(|head| head.rfind(part)).map(|found| position_at(text, found)))
}

fn join<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let parts = items(&arguments, 0)?;
    let separator = if arguments.len() == 2 { text(&arguments, 1)? } else { "" };
    let parts = parts.into_iter().map(text_in).collect::<Result<Vec<_>, _>>()?;
    pay(separator.len().saturating_mul(parts.len()) / TEXT_UNIT)?;
    made(parts.join(separator))
}

fn replace<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (text, old, new) = (text(&arguments, 0)?, text(&arguments, 1)?, text(&arguments, 2)?);
    let limit = if arguments.len() == 4 { int(&arguments, 3)? } else { -1 };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = text.matches(old).take(limit).count();
    pay(found.saturating_mul(1 + new.len() / TEXT_UNIT))?;
    made(text.replacen(old, new, found))
}

fn split<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (text, separator) = (text(&arguments, 0)?, text(&arguments, 1)?);
    let limit = if arguments.len() == 3 { int(&arguments, 2)? } else { -1 };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if separator.is_empty() {
        // Between code points; the last part is what is left.
        let whole = limit.saturating_sub(1);
        let rest = text.char_indices().nth(whole).map(|(offset, _)| offset);
        let heads = text.chars().take(whole).map(String::from);
        let tail = rest.filter(|_| limit > 0).and_then(|rest| text.get(rest..)).map(str::to_owned);
        return texts(heads.chain(tail));
    }
    texts(text.splitn(limit, separator))
}

fn substring<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let text = text(&arguments, 0)?;
    let start = offset(text, int(&arguments, 1)?);
    let end = if arguments.len() == 3 { offset(text, int(&arguments, 2)?) } else { Some(text.len()) };
    match start.zip(end).and_then(|(start, end)| text.get(start..end)) {
        Some(part) => made(part.to_owned()),
        None => Err(failure("substring", "is given positions outside of the text or in the wrong order")),
    }
}

/// A text as it is written in an expression.
fn quote<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let text = text(&arguments, 0)?;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    made(quoted)
}

/// The interpreter's own `format`, which makes no more than a few times what it reads.
static FORMAT: LazyLock<(Arc<Env>, IdedExpr)> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // It fails only for names that are taken; the standard library has none of them.
    let _: Result<(), _> = env.add_extension(cel::extensions::strings);
    let variable = |name: &str| IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) };
    let call = Expr::Call(CallExpr {
        func_name: "format".to_owned(),
        target: Some(Box::new(variable("template"))),
        args: vec![variable("values")],
    });
    (Arc::new(env), IdedExpr { id: 0, expr: call })
});

fn format<'b, 'v>(mut arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    // A clause may ask for a hundred digits.
    pay(text(&arguments, 0)?.len())?;
    if !arguments.iter().all(|argument| read(argument.as_ref())) {
        return Err(exhausted());
    }
    let mut context = Context::with_env(Arc::clone(&FORMAT.0));
    for name in ["values", "template"] {
        if let Some(argument) = arguments.pop() {
            context.add_variable_as_val(name, argument.into_owned());
        }
    }
    Ok(CowVal::Owned(Value::resolve_val(&FORMAT.1, &context)?.into_owned()))
}
