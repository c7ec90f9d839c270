//! URLs: Kubernetes' url, which reads them as Go does.
//!
//! A URL is absolute, or a path that starts with a slash. Go is lenient where standards of the web are strict: a path may have
//! spaces, and what is not escaped is escaped when it is asked for. Nothing is looked up, and no scheme is special.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv6Addr;

use cel::common::types::{CelList, CelMap, CelMapKey, CelString, Type};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::opaque::{self, Opaque, get, held};
use super::{Answer, Arguments, TEXT, TEXT_UNIT, bool, failure, functions, made, members, pay, text};

const URL: Type = Type::new_unspecified_type("kubernetes.URL");
static KIND: Type = URL;

/// The parts of a URL.
#[derive(Debug, PartialEq)]
pub(super) struct Url {
    scheme: String,
    /// With the port, without user and escapes.
    host: String,
    /// Escaped.
    path: String,
    /// As it is written.
    query: String,
    /// All of it, the scheme in lower case.
    text: String,
}

impl Opaque for Url {
    fn kind() -> &'static Type {
        &KIND
    }

    fn text(&self) -> Option<String> {
        Some(self.text.clone())
    }

    fn length(&self) -> usize {
        self.text.len()
    }
}

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    opaque::declare::<Url>(env)?;
    opaque::declare_string::<Url>(env)?;
    functions(
        env,
        [
            ("url", &[TEXT], |arguments| {
                parsed(&arguments)?.map(held).ok_or_else(|| failure("url", "is given a text that is no URL"))
            }),
            ("isURL", &[TEXT], |arguments| bool(parsed(&arguments)?.is_some())),
        ],
    )?;
    members(
        env,
        [
            ("getScheme", &[URL], |arguments| part(&arguments, |url| &url.scheme)),
            ("getHost", &[URL], |arguments| part(&arguments, |url| &url.host)),
            ("getHostname", &[URL], |arguments| part(&arguments, |url| host_and_port(&url.host).0)),
            ("getPort", &[URL], |arguments| part(&arguments, |url| host_and_port(&url.host).1)),
            ("getEscapedPath", &[URL], |arguments| part(&arguments, |url| &url.path)),
            ("getQuery", &[URL], query),
        ],
    )
}

fn parsed(arguments: &[CowVal<'_, '_>]) -> Result<Option<Url>, ExecutionError> {
    let text = text(arguments, 0)?;
    // It is read several times.
    pay(text.len() / TEXT_UNIT)?;
    Ok(Url::parse(text))
}

fn part<'b, 'v>(arguments: &[CowVal<'_, '_>], part: fn(&Url) -> &str) -> Answer<'b, 'v> {
    let url = get::<Url>(arguments, 0)?;
    pay(url.host.len() / TEXT_UNIT)?;
    made(part(url).to_owned())
}

/// The parameters by name, each with all its values.
fn query<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let url = get::<Url>(&arguments, 0)?;
    pay(url.query.len() / TEXT_UNIT)?;
    let mut parameters: BTreeMap<String, Vec<Box<dyn Val + 'v>>> = BTreeMap::new();
    // What can't be read is left out, as Go does.
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        pay(2)?;
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| unescaped(&text.replace('+', " "));
        if let (Some(name), Some(value)) = (plain(name), plain(value)) {
            parameters.entry(name).or_default().push(Box::new(CelString::from(value)));
        }
    }
    let parameters: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = parameters
        .into_iter()
        .map(|(name, values)| (CelMapKey::from(name), Box::new(CelList::from(values)) as Box<dyn Val + 'v>))
        .collect();
    Ok(CowVal::owned(CelMap::from(parameters)))
}

impl Url {
    /// Reads a URL. Go reads it twice: first as in a request, where a `#` is part of what it stands in, to see that it is one, and then
    /// without the fragment.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::read(text, true)?;
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        unescaped(fragment)?;
        let url = Self::read(text, false)?;
        let text = if fragment.is_empty() { url.text } else { format!("{}#{fragment}", url.text) };
        Some(Self { text, ..url })
    }

    fn read(text: &str, in_request: bool) -> Option<Self> {
        if text.is_empty() || text.bytes().any(|byte| byte.is_ascii_control()) {
            return None;
        }
        let (scheme, rest) = scheme(text)?;
        let scheme = scheme.to_ascii_lowercase();
        let normal = if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}:{rest}") };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url =
            Self { scheme, host: String::new(), path: String::new(), query: query.to_owned(), text: normal };
        if !rest.starts_with('/') {
            // With a scheme it is opaque, as an address of mail is.
            return (!url.scheme.is_empty()).then_some(url);
        }
        let may_have_host = !url.scheme.is_empty() || (!in_request && !rest.starts_with("///"));
        let path = match rest.strip_prefix("//").filter(|_| may_have_host) {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                url.host = host(authority)?;
                path
            }
            None => rest,
        };
        let plain = unescaped_bytes(path)?;
        url.path = if path.bytes().all(|byte| is_plain_in_path(byte) || b"!'()*[]%".contains(&byte)) {
            path.to_owned()
        } else {
            escaped(&plain)
        };
        Some(url)
    }
}

/// The scheme and what follows it; `None` where it is empty.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)));
    match end.and_then(|end| text.split_at_checked(end)) {
        Some(("", rest)) if rest.starts_with(':') => None,
        Some((scheme, rest)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Some(rest.strip_prefix(':').map_or(("", text), |rest| (scheme, rest)))
        }
        _ => Some(("", text)),
    }
}

/// The host and port of `user@host:port`.
fn host(authority: &str) -> Option<String> {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_user = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(is_user) {
        return None;
    }
    unescaped(user)?;
    let port = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.rsplit_once(']')?;
            let (address, _zone) = address.split_once("%25").unwrap_or((address, ""));
            address.parse::<Ipv6Addr>().ok()?;
            port
        }
        None => host.rfind(':').and_then(|colon| host.get(colon..)).unwrap_or(""),
    };
    if !is_port(port) {
        return None;
    }
    let mut bytes = host.bytes();
    while let Some(byte) = bytes.next() {
        let allowed = match byte {
            // Only what is no ASCII may be escaped, and the sign before a zone.
            b'%' => match (bytes.next()?, bytes.next()?) {
                (b'2', b'5') => true,
                (high, low) => high.is_ascii_hexdigit() && low.is_ascii_hexdigit() && high >= b'8',
            },
            byte => {
                !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
            }
        };
        if !allowed {
            return None;
        }
    }
    unescaped(host)
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The name without the brackets of an IPv6 address, and the port.
fn host_and_port(host: &str) -> (&str, &str) {
    let colon = host.rfind(':').filter(|colon| host.get(*colon..).is_some_and(is_port));
    let (name, port) = colon.and_then(|colon| host.split_at_checked(colon)).unwrap_or((host, ""));
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    (bare, port.trim_start_matches(':'))
}

/// A text without its escapes; `None` where one is broken.
fn unescaped(text: &str) -> Option<String> {
    unescaped_bytes(text).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn unescaped_bytes(text: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    Some(plain)
}

/// What Go leaves as it is when it escapes a path.
fn is_plain_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte)
}

fn escaped(path: &[u8]) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path {
        if is_plain_in_path(*byte) {
            escaped.push(char::from(*byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
