//! Addresses as resolvers read them: `127.1`, `0x7f000001` and `2130706433` are all 127.0.0.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name in the form in which names are compared.
pub(super) fn name(host: &str) -> String {
    host.trim().trim_end_matches('.').to_ascii_lowercase()
}

/// The addresses that resolvers may take a host for; none when it is a name. Resolvers do not agree on numbers with leading zeros
/// (some read them as octal), so there may be two.
pub(super) fn readings(host: &str) -> Vec<IpAddr> {
    let host = name(host);
    let bare = host.strip_prefix('[').map_or(host.as_str(), |rest| rest.trim_end_matches(']'));
    // A zone says through which interface, not to whom.
    let without_zone = bare.split_once('%').map_or(bare, |(address, _)| address);
    if let Ok(address) = without_zone.parse::<Ipv6Addr>() {
        return vec![IpAddr::V6(address)];
    }
    let mut readings = Vec::new();
    for zeros_mean_octal in [true, false] {
        if let Some(address) = ipv4(bare, zeros_mean_octal).map(IpAddr::V4)
            && !readings.contains(&address)
        {
            readings.push(address);
        }
    }
    readings
}

/// One to four numbers, of which the last fills what the others leave.
fn ipv4(text: &str, zeros_mean_octal: bool) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let (last, first) = parts.split_last()?;
    if first.len() > 3 {
        return None;
    }
    let mut address: u64 = 0;
    for part in first {
        let part = number(part, zeros_mean_octal).filter(|part| *part <= 0xff)?;
        address = address << 8 | part;
    }
    let room = 32 - 8 * first.len();
    let last = number(last, zeros_mean_octal).filter(|last| last >> room == 0)?;
    u32::try_from(address << room | last).ok().map(Ipv4Addr::from)
}

/// A decimal, octal (`0…`) or hexadecimal (`0x…`) number of at most 32 bits.
fn number(text: &str, zeros_mean_octal: bool) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        // Some resolvers take no digits for zero.
        Some("") => return Some(0),
        Some(digits) => (digits, 16),
        None if zeros_mean_octal && text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // A sign is no part of an address.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok().filter(|number| *number <= u64::from(u32::MAX))
}
