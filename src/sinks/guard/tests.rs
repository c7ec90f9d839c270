#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::{EndpointPolicy, Network, ResolveError};

fn guarded(private: bool, networks: &[&str]) -> EndpointPolicy {
    EndpointPolicy::guarded(private, networks.iter().map(|network| network.parse().unwrap()).collect())
}

/// Every way to write an IPv4 address that some resolver reads.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let number = u32::from(address);
    let (rest, tail) = (number & 0xff_ffff, number & 0xffff);
    let v4 = [
        format!("{address}"),
        format!("{address}."),
        format!("{a}.{b}.{tail}"),
        format!("{a}.{rest}"),
        format!("{number}"),
        format!("0x{number:x}"),
        format!("0X{number:08X}"),
        format!("0{number:o}"),
        format!("0x{a:x}.0x{b:02x}.0{c:o}.{d}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a:03}.{b:03}.{c:03}.{d:03}"),
        format!("0x{a:x}.{rest}"),
    ];
    let v6 = [
        address.to_ipv6_mapped(),
        // Compatible, translated, NAT64, the local one, 6to4, Teredo, ISATAP.
        Ipv6Addr::from(u128::from(number)),
        Ipv6Addr::from(0xffff_u128 << 48 | u128::from(number)),
        Ipv6Addr::from(0x64_ff9b_u128 << 96 | u128::from(number)),
        Ipv6Addr::from(0x64_ff9b_0001_u128 << 80 | u128::from(number)),
        Ipv6Addr::from(0x2002_u128 << 112 | u128::from(number) << 80 | 1),
        Ipv6Addr::from(0x2001_u128 << 112 | u128::from(!number)),
        Ipv6Addr::from(0x2001_u128 << 112 | u128::from(number) << 64 | 0xf0f0),
        Ipv6Addr::from(0x2600_u128 << 112 | 0x5efe_u128 << 32 | u128::from(number)),
    ];
    let v6 = v6.iter().flat_map(|v6| {
        let long: Vec<String> = v6.segments().iter().map(|segment| format!("{segment:04X}")).collect();
        let [.., e, f] = v6.segments();
        let quad = Ipv4Addr::from(u32::from(e) << 16 | u32::from(f));
        let first: Vec<String> = v6.segments()[..6].iter().map(|segment| format!("{segment:x}")).collect();
        [
            v6.to_string(),
            format!("[{v6}]"),
            format!("{v6}%eth0"),
            format!("[{v6}%25eth0]"),
            long.join(":"),
            format!("{}:{quad}", first.join(":")),
        ]
    });
    v4.into_iter().chain(v6).collect()
}

#[test]
fn addresses_that_are_not_public_are_refused_however_they_are_spelled() {
    let guard = EndpointPolicy::default();
    for (host, is) in [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("127.1", "loopback"),
        ("0x7f.1", "loopback"),
        ("0x7f000001", "loopback"),
        ("017700000001", "loopback"),
        ("2130706433", "loopback"),
        ("0177.0.0.1", "loopback"),
        // Read as octal it would be public.
        ("0127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("[::1]", "loopback"),
        ("0:0:0:0:0:0:0:1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:7f00:1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("localhost", "loopback"),
        ("LocalHost.", "loopback"),
        ("db.localhost", "loopback"),
        ("localhost.localdomain", "loopback"),
        ("localhost6.localdomain6", "loopback"),
        ("ip6-loopback", "loopback"),
        ("", "an empty host"),
        ("0.0.0.0", "unspecified"),
        ("0", "unspecified"),
        ("0x", "unspecified"),
        ("::", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("169.254.169.254", "metadata"),
        ("169.254.169.254.", "metadata"),
        ("0xa9fea9fe", "metadata"),
        ("169.254.170.2", "metadata"),
        ("169.254.170.23", "metadata"),
        ("100.100.100.200", "metadata"),
        ("192.0.0.192", "metadata"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fd00:ec2::23", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("metadata.google.internal", "metadata"),
        ("Metadata.Google.Internal.", "metadata"),
        ("instance-data", "metadata"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("febf::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("100.127.255.255", "private"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("198.18.0.1", "special"),
        ("64:ff9b:1::808:808", "translator"),
        ("2001:0:a00:1::f7f7:f7f7", "private"),
    ] {
        let refused = guard.check_host(host).expect_err(host);
        assert!(refused.message.contains(is), "{host}: {refused}");
        assert!(!refused.remedy.is_empty());
        assert_eq!(EndpointPolicy::unrestricted().check_host(host), Ok(()));
    }
}

#[test]
fn public_addresses_and_names_that_say_nothing_are_not_refused() {
    let guard = EndpointPolicy::default();
    for host in [
        "8.8.8.8",
        "172.15.0.1",
        "172.32.0.1",
        "192.169.0.1",
        "100.63.0.1",
        "100.128.0.1",
        "11.0.0.1",
        "169.253.1.1",
        "2600::1",
        "2001:4860:4860::8888",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "::ffff:8.8.8.8",
        "db.example.com",
        "db.shop.svc.cluster.local",
        "localhost.example.com",
        "localdomain.example",
        "10.example.com",
        "127.0.0.1.example",
        "1.2.3.4.5",
        "256.0.0.1",
        "0x1g",
        "4294967296",
    ] {
        assert_eq!(guard.check_host(host), Ok(()), "{host}");
    }
}

#[test]
fn what_is_listed_is_opened_and_nothing_else() {
    let allowed = |policy: &EndpointPolicy, host: &str| policy.check_host(host).is_ok();
    let private = guarded(true, &[]);
    for (host, expected) in [
        ("10.0.0.1", true),
        ("fd12::1", true),
        ("64:ff9b::a00:1", true),
        ("127.0.0.1", false),
        ("100.100.100.200", false),
        ("fd00:ec2::254", false),
        ("169.254.169.254", false),
        ("198.18.0.1", false),
        ("64:ff9b:1::a00:1", false),
    ] {
        assert_eq!(allowed(&private, host), expected, "{host}");
    }
    // A network that a metadata service or a link-local address is in does not open it; its own address does.
    let everything = guarded(false, &["0.0.0.0/0", "::/0"]);
    for (host, expected) in [
        ("127.0.0.1", true),
        ("localhost", true),
        ("10.0.0.1", true),
        ("fd12::1", true),
        ("64:ff9b:1::a00:1", true),
        ("169.254.169.254", false),
        ("metadata.google.internal", false),
        ("100.100.100.200", false),
        ("169.254.1.1", false),
        ("fe80::1", false),
        ("0.0.0.0", false),
        ("224.0.0.1", false),
    ] {
        assert_eq!(allowed(&everything, host), expected, "{host}");
    }
    let exact = guarded(false, &["169.254.1.1", "fe80::1/128", "169.254.169.254/32"]);
    assert!(allowed(&exact, "169.254.1.1") && allowed(&exact, "fe80::1") && allowed(&exact, "metadata"));
    assert!(!allowed(&exact, "169.254.1.2") && !allowed(&exact, "10.0.0.1"));
    // Both the address and the one in it must be allowed.
    let outer = guarded(false, &["64:ff9b::/96"]);
    assert!(!allowed(&outer, "64:ff9b::a00:1"));
    assert!(allowed(&guarded(false, &["10.0.0.0/8"]), "64:ff9b::a00:1"));
    assert!(!allowed(&guarded(false, &["11.0.0.0/8"]), "10.0.0.1"));
    assert!(allowed(&guarded(false, &["::1"]), "localhost"));
}

#[test]
fn a_socket_goes_with_local_sinks() {
    let path = std::path::Path::new("/run/db.sock");
    assert!(EndpointPolicy::default().check_socket(path).is_err());
    assert!(EndpointPolicy::default().with_sockets(true).check_socket(path).is_ok());
    assert!(EndpointPolicy::unrestricted().check_socket(path).is_ok());
}

#[test]
fn networks_are_read_strictly() {
    for (text, shown) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 10.1.2.3 ", "10.1.2.3/32"),
        ("::/0", "::/0"),
        ("fd12::/16", "fd12::/16"),
        ("::1", "::1/128"),
    ] {
        assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
    }
    for text in [
        "",
        "10",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "10.0.0.1/8",
        "10.0.0/8",
        "fd12::1/16",
        "::/129",
        "::ffff:10.0.0.0/104",
        "db.example/8",
    ] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 5432)).collect()
}

#[tokio::test]
async fn of_a_names_addresses_only_those_are_given_that_may_be_connected_to() {
    let guard = EndpointPolicy::default();
    let both = async |_: &str, _: u16| Ok(addresses(&["10.0.0.1", "8.8.8.8", "::1"]));
    assert_eq!(guard.resolve_with("db.example", 5432, both).await.unwrap(), addresses(&["8.8.8.8"]));
    let inside = async |_: &str, _: u16| Ok(addresses(&["::ffff:169.254.169.254"]));
    let refused = guard.resolve_with("db.example", 5432, inside).await.unwrap_err().to_string();
    assert!(refused.starts_with("db.example (::ffff:169.254.169.254, that is 169.254.169.254)"), "{refused}");
    let nothing = async |_: &str, _: u16| Ok(Vec::new());
    assert!(matches!(guard.resolve_with("db", 1, nothing).await, Err(ResolveError::Lookup { .. })));
    let failing = async |_: &str, _: u16| Err(io::Error::other("no such host"));
    assert!(matches!(guard.resolve_with("db", 1, failing).await, Err(ResolveError::Lookup { .. })));
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_next_time_is_checked_the_next_time() {
    let (guard, times) = (EndpointPolicy::default(), AtomicUsize::new(0));
    let rebinding = async |_: &str, _: u16| {
        let first = times.fetch_add(1, Ordering::Relaxed) == 0;
        Ok(addresses(if first { &["8.8.8.8"] } else { &["127.0.0.1"] }))
    };
    assert!(guard.resolve_with("evil.example", 5432, &rebinding).await.is_ok());
    let again = guard.resolve_with("evil.example", 5432, &rebinding).await;
    assert!(matches!(again, Err(ResolveError::Refused(_))));
}

#[tokio::test]
async fn what_the_operating_system_resolves_is_checked_too() {
    // Spellings of 127.0.0.1 that are not in any table of names.
    for host in ["127.1", "0x7f000001", "2130706433"] {
        let result = EndpointPolicy::default().resolve(host, 5432).await;
        assert!(matches!(result, Err(ResolveError::Refused(_))), "{host}: {result:?}");
    }
}

/// Refused networks: address, length.
const REFUSED: [(Ipv4Addr, u32); 12] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

const REFUSED_V6: [(u128, u32); 5] = [
    (0xfc00 << 112, 7),
    (0xfe80 << 112, 10),
    (0xfec0 << 112, 10),
    (0xff00 << 112, 8),
    (0x64_ff9b_0001 << 80, 48),
];

proptest! {
    #[test]
    fn every_address_of_a_refused_network_is_refused_however_it_is_written(network in 0..REFUSED.len(), bits: u32) {
        let (first, length) = REFUSED[network];
        let host_bits = u32::MAX.checked_shr(length).unwrap_or(0);
        let address = Ipv4Addr::from(u32::from(first) | bits & host_bits);
        let guard = EndpointPolicy::default();
        prop_assert!(guard.check_address(IpAddr::V4(address)).is_err());
        for host in spellings(address) {
            prop_assert!(guard.check_host(&host).is_err(), "{} as {}", address, host);
        }
    }

    #[test]
    fn every_address_of_a_refused_ipv6_network_is_refused(network in 0..REFUSED_V6.len(), bits: u128) {
        let (first, length) = REFUSED_V6[network];
        let address = Ipv6Addr::from(first | bits & (u128::MAX >> length));
        let guard = EndpointPolicy::default();
        prop_assert!(guard.check_address(IpAddr::V6(address)).is_err());
        prop_assert!(guard.check_host(&address.to_string()).is_err());
        let zoned = format!("[{address}%3]");
        prop_assert!(guard.check_host(&zoned).is_err());
    }

    #[test]
    fn what_is_read_from_any_text_is_what_the_standard_library_reads_where_it_reads_anything(text in "[0-9a-fx:.%\\[\\]]{0,24}") {
        let guard = EndpointPolicy::default();
        if let Ok(address) = text.parse::<IpAddr>() {
            prop_assert_eq!(guard.check_host(&text).is_ok(), guard.check_address(address).is_ok());
        }
        // And nothing panics.
        let _ = guard.check_host(&text);
    }
}
