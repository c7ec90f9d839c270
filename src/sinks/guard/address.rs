//! What an address is, and what may be behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where almost every cloud has its metadata service.
pub(super) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// What it takes that an address may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Open,
    /// The permission for private networks, or that its network is listed.
    Private,
    /// That its network is listed.
    Listed,
    /// That it is listed as a single address: one does not mean it by listing a network that it is in.
    Exact,
    /// Nothing helps: no server has such an address.
    Never,
}

/// The addresses that packets to an address may arrive at: itself, and the IPv4 address that a translator or tunnel on the way
/// finds in it. For an address that is only another way to write an IPv4 address, that one alone.
pub(super) fn faces(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else { return vec![address] };
    let octets = v6.octets();
    let v4_at = |i: usize| IpAddr::V4(Ipv4Addr::new(octets[i], octets[i + 1], octets[i + 2], octets[i + 3]));
    let mut faces = vec![address];
    match v6.segments() {
        // Mapped: the operating system connects to the IPv4 address.
        [0, 0, 0, 0, 0, 0xffff, _, _] => return vec![v4_at(12)],
        // Unspecified and loopback are what they are.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => {}
        // Compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052, and RFC 8215 with the usual length).
        [0, 0, 0, 0, 0, 0, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _]
        | [0x64, 0xff9b, 1, _, _, _, _, _] => faces.push(v4_at(12)),
        // 6to4 (RFC 3056).
        [0x2002, ..] => faces.push(v4_at(2)),
        // Teredo (RFC 4380): the server, and the client with all bits turned over.
        [0x2001, 0, ..] => {
            let [.., a, b, c, d] = octets;
            faces.extend([v4_at(4), IpAddr::V4(Ipv4Addr::new(!a, !b, !c, !d))]);
        }
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => faces.push(v4_at(12)),
        _ => {}
    }
    faces
}

/// What it takes to connect to an address, and what kind of address it is: to be read after `is`.
pub(super) fn classify(address: IpAddr) -> (Access, &'static str) {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

fn v4(address: Ipv4Addr) -> (Access, &'static str) {
    match address.octets() {
        // AWS, Azure, Google and others; containers and pods of AWS; Alibaba; Oracle; Azure's host.
        [169, 254, 169, 254]
        | [169, 254, 170, 2 | 23]
        | [100, 100, 100, 200]
        | [192, 0, 0, 192]
        | [168, 63, 129, 16] => (Access::Exact, "a metadata service"),
        [169, 254, ..] => (Access::Exact, "a link-local address"),
        [127, ..] => (Access::Listed, "a loopback address"),
        // Linux takes 0.0.0.0 for the machine itself.
        [0, ..] => (Access::Never, "an unspecified address"),
        [224..=239, ..] => (Access::Never, "a multicast address"),
        [240..=255, ..] => (Access::Never, "a reserved address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => (Access::Private, "a private address"),
        [100, 64..=127, ..] => (Access::Private, "a private address (shared address space)"),
        [192, 0, 0, _] | [198, 18 | 19, ..] => (Access::Listed, "an address for special purposes"),
        _ => (Access::Open, "a public address"),
    }
}

fn v6(address: Ipv6Addr) -> (Access, &'static str) {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => (Access::Never, "an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => (Access::Listed, "a loopback address"),
        // AWS keeps this network for the services of an instance, as it does 169.254.0.0/16; Google; Oracle.
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] | [0xfd00, 0xc1, ..] => {
            (Access::Exact, "a metadata service")
        }
        [0xfe80..=0xfebf, ..] => (Access::Exact, "a link-local address"),
        [0xff00..=0xffff, ..] => (Access::Never, "a multicast address"),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => (Access::Private, "a private address"),
        // Where a translator with a prefix of its own may find an IPv4 address depends on its settings.
        [0x64, 0xff9b, 1, ..] => (Access::Listed, "an address of a local translator to IPv4"),
        _ => (Access::Open, "a public address"),
    }
}
