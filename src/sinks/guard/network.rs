//! Networks in CIDR notation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network: `10.0.0.0/8`, `fd12::/16`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A network that can't be read. Whoever gave it must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network: {why}")]
pub struct NetworkError {
    text: String,
    why: String,
}

/// An address as a number, its bits from the left, and how many there are.
fn number(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

/// The bits that a network of this length fixes.
fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

impl Network {
    /// Whether an address is in the network.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && (number(self.address).0 ^ number(address).0) & mask(self.bits) == 0
    }

    /// Whether the network is this one address.
    pub(super) fn is_exactly(&self, address: IpAddr) -> bool {
        self.address == address && self.bits == number(address).1
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = |why: String| NetworkError { text: text.to_owned(), why };
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| error("give an address and a length, such as 10.0.0.0/8 or fd12::/16".to_owned()))?;
        if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
            return Err(error("write it as a network of IPv4 addresses".to_owned()));
        }
        let (value, most) = number(address);
        let bits = match bits {
            None => most,
            // No sign, no leading zero: a typing error must not open a larger network than was meant.
            Some(bits) => match bits.parse::<u8>() {
                Ok(length) if length <= most && length.to_string() == bits => length,
                _ => return Err(error(format!("its length is a number from 0 to {most}"))),
            },
        };
        if value & !mask(bits) != 0 {
            return Err(error(
                "the address has bits beyond the length; give the network's first address".to_owned(),
            ));
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}
