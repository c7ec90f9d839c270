//! Addresses and networks: Kubernetes' ip and cidr. Addresses with zones, and IPv4 addresses in IPv6, are none.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr};

use cel::common::types::{CelString, Type};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError};

use super::opaque::{self, Opaque, get, held};
use super::{Answer, Arguments, TEXT, argument, bool, failure, functions, members, number, text};

const IP: Type = Type::new_unspecified_type("net.IP");
static ADDRESS_KIND: Type = IP;
const CIDR: Type = Type::new_unspecified_type("net.CIDR");
static NETWORK_KIND: Type = CIDR;

/// An IP address.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Address(IpAddr);

/// A network, as the address that it is written with and the length of its prefix.
#[derive(PartialEq)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        let address = text.parse().ok()?;
        let is_mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        (!is_mapped).then_some(Self(address))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address = Address::parse(address)?.0;
        let canonical =
            prefix.bytes().all(|digit| digit.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        let prefix: u8 = prefix.parse().ok().filter(|_| canonical)?;
        (u32::from(prefix) <= bits(address).1).then_some(Self { address, prefix })
    }

    /// The first address.
    fn masked(&self) -> u128 {
        let (value, length) = bits(self.address);
        let host = length.saturating_sub(u32::from(self.prefix));
        value.checked_shr(host).and_then(|network| network.checked_shl(host)).unwrap_or(0)
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self { address, prefix: self.prefix }.masked() == self.masked()
    }
}

/// An address as a number, and its length.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), u32::BITS),
        IpAddr::V6(address) => (address.to_bits(), u128::BITS),
    }
}

impl Opaque for Address {
    fn kind() -> &'static Type {
        &ADDRESS_KIND
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.0.cmp(&other.0))
    }
}

impl Opaque for Network {
    fn kind() -> &'static Type {
        &NETWORK_KIND
    }

    fn text(&self) -> Option<String> {
        Some(format!("{}/{}", self.address, self.prefix))
    }
}

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    opaque::declare::<Address>(env)?;
    opaque::declare::<Network>(env)?;
    opaque::declare_string::<Address>(env)?;
    opaque::declare_string::<Network>(env)?;
    functions(
        env,
        [
            ("ip", &[TEXT], |arguments| Ok(held(address("ip", text(&arguments, 0)?)?))),
            ("isIP", &[TEXT], |arguments| bool(Address::parse(text(&arguments, 0)?).is_some())),
            ("ip.isCanonical", &[TEXT], |arguments| {
                let text = text(&arguments, 0)?;
                bool(address("ip.isCanonical", text)?.0.to_string() == text)
            }),
            ("cidr", &[TEXT], |arguments| Ok(held(network("cidr", text(&arguments, 0)?)?))),
            ("isCIDR", &[TEXT], |arguments| bool(Network::parse(text(&arguments, 0)?).is_some())),
        ],
    )?;
    members(
        env,
        [
            ("family", &[IP], |arguments| number(if is(&arguments, IpAddr::is_ipv4)? { 4 } else { 6 })),
            ("isUnspecified", &[IP], |arguments| bool(is(&arguments, IpAddr::is_unspecified)?)),
            ("isLoopback", &[IP], |arguments| bool(is(&arguments, IpAddr::is_loopback)?)),
            ("isLinkLocalMulticast", &[IP], |arguments| bool(is(&arguments, is_link_local_multicast)?)),
            ("isLinkLocalUnicast", &[IP], |arguments| bool(is(&arguments, is_link_local_unicast)?)),
            ("isGlobalUnicast", &[IP], |arguments| bool(is(&arguments, is_global_unicast)?)),
            ("ip", &[CIDR], |arguments| Ok(held(Address(get::<Network>(&arguments, 0)?.address)))),
            ("prefixLength", &[CIDR], |arguments| number(get::<Network>(&arguments, 0)?.prefix.into())),
            ("masked", &[CIDR], masked),
            ("containsIP", &[CIDR, TEXT], contains_ip),
            ("containsIP", &[CIDR, IP], contains_ip),
            ("containsCIDR", &[CIDR, TEXT], contains_cidr),
            ("containsCIDR", &[CIDR, CIDR], contains_cidr),
        ],
    )
}

fn address(function: &str, text: &str) -> Result<Address, ExecutionError> {
    Address::parse(text).ok_or_else(|| failure(function, "is given a text that is no IP address"))
}

fn network(function: &str, text: &str) -> Result<Network, ExecutionError> {
    Network::parse(text)
        .ok_or_else(|| failure(function, "is given a text that is no network in CIDR notation"))
}

fn is(arguments: &[CowVal<'_, '_>], predicate: fn(&IpAddr) -> bool) -> Result<bool, ExecutionError> {
    Ok(predicate(&get::<Address>(arguments, 0)?.0))
}

fn is_link_local_multicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [224, 0, 0, _]),
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_global_unicast(address: &IpAddr) -> bool {
    *address != IpAddr::V4(Ipv4Addr::BROADCAST)
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !is_link_local_unicast(address)
}

fn masked<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let network = get::<Network>(&arguments, 0)?;
    let first = network.masked();
    let address = match network.address {
        // The number of an IPv4 address has 32 bits.
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(first).unwrap_or(0).into()),
        IpAddr::V6(_) => IpAddr::V6(first.into()),
    };
    Ok(held(Network { address, prefix: network.prefix }))
}

fn contains_ip<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let network = get::<Network>(&arguments, 0)?;
    let other = if is_text(&arguments)? {
        address("containsIP", text(&arguments, 1)?)?
    } else {
        *get::<Address>(&arguments, 1)?
    };
    bool(network.contains(other.0))
}

fn contains_cidr<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let whole = get::<Network>(&arguments, 0)?;
    let parsed;
    let part = if is_text(&arguments)? {
        parsed = network("containsCIDR", text(&arguments, 1)?)?;
        &parsed
    } else {
        get::<Network>(&arguments, 1)?
    };
    bool(whole.prefix <= part.prefix && whole.contains(part.address))
}

fn is_text(arguments: &[CowVal<'_, '_>]) -> Result<bool, ExecutionError> {
    Ok(argument(arguments, 1)?.downcast_ref::<CelString<'_>>().is_some())
}
