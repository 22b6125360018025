//! Addresses of interfaces and what they are. Decides which are private (RFC 6890, as go-sockaddr has it) and which are
//! reachable from elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use if_addrs::IfAddr;
use lobby_template::CallError;

/// An address of an interface that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) name: String,
    pub(super) ip: IpAddr,
    /// The bits of its network's mask.
    pub(super) prefix: u8,
}

/// A network: its address and the bits of its mask.
pub(super) type Net = (IpAddr, u8);

/// Whether an address is of some kind.
pub(super) type Test = fn(&Address) -> bool;

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Net {
    (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Net {
    (IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)), prefix)
}

/// Those of RFC 6890 that are not for the public.
const PRIVATE: [Net; 21] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(240, 0, 0, 0, 4),
    v6(0, 0, 127),
    v6(0x64, 0xff9b, 96),
    v6(0x100, 0, 64),
    v6(0x2001, 0, 23),
    v6(0x2002, 0, 16),
    v6(0xfc00, 0, 7),
    v6(0xfe80, 0, 10),
];

/// Those that no router passes on.
const LOCAL: [Net; 9] = [
    v4(0, 0, 0, 0, 8),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(192, 0, 2, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    v6(0, 0, 127),
    v6(0xfe80, 0, 10),
    v6(0xff00, 0, 8),
];

impl Address {
    /// Those of this machine.
    pub(super) fn all() -> std::io::Result<Vec<Self>> {
        let interfaces = if_addrs::get_if_addrs()?;
        let up = interfaces.into_iter().filter(|interface| interface.is_loopback() || interface.is_oper_up());
        Ok(up
            .map(|interface| match interface.addr {
                IfAddr::V4(addr) => Self { name: interface.name, ip: addr.ip.into(), prefix: addr.prefixlen },
                IfAddr::V6(addr) => Self { name: interface.name, ip: addr.ip.into(), prefix: addr.prefixlen },
            })
            .collect())
    }

    pub(super) fn is_private(&self) -> bool {
        PRIVATE.iter().any(|net| contains(*net, self.ip))
    }

    pub(super) fn is_forwardable(&self) -> bool {
        !LOCAL.iter().any(|net| contains(*net, self.ip))
    }

    /// IPv4 before IPv6, small networks before large ones.
    pub(super) fn by_kind_and_size(&self) -> (bool, std::cmp::Reverse<u8>) {
        (self.ip.is_ipv6(), std::cmp::Reverse(self.prefix))
    }

    /// An attribute by go-sockaddr's name for it.
    pub(super) fn attribute(&self, name: &str) -> Result<String, CallError> {
        Ok(match name {
            "address" => self.ip.to_string(),
            "name" => self.name.clone(),
            "type" => if self.ip.is_ipv4() { "IPv4" } else { "IPv6" }.into(),
            "mask_bits" => self.prefix.to_string(),
            "network" => format!("{}/{}", masked(self.ip, self.prefix), self.prefix),
            "string" => format!("{}/{}", self.ip, self.prefix),
            "size" => match (self.ip.is_ipv4(), self.prefix) {
                (true, prefix) => (1_u64 << 32_u8.saturating_sub(prefix)).to_string(),
                (false, 0) => "340282366920938463463374607431768211456".into(),
                (false, prefix) => (1_u128 << 128_u8.saturating_sub(prefix)).to_string(),
            },
            _ => return Err(CallError(format!("sockaddr: no attribute {name:?}"))),
        })
    }
}

fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

/// Whether the network has the address.
pub(super) fn contains((net, prefix): Net, ip: IpAddr) -> bool {
    net.is_ipv4() == ip.is_ipv4() && masked(ip, prefix) == masked(net, prefix)
}

/// `10.0.0.0/8`
pub(super) fn network(text: &str) -> Result<Net, CallError> {
    let (ip, prefix) = text.trim().split_once('/').unwrap_or((text.trim(), ""));
    let parsed = ip.parse::<IpAddr>().ok().and_then(|ip| {
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = if prefix.is_empty() { Some(most) } else { prefix.parse().ok().filter(|prefix| *prefix <= most) };
        Some((ip, prefix?))
    });
    parsed.ok_or_else(|| CallError(format!("sockaddr: {text:?} is no network; 10.0.0.0/8 is one")))
}

/// What a flag asks.
pub(super) fn flag(name: &str) -> Result<Test, CallError> {
    Ok(match name {
        "up" => |_| true,
        "down" => |_| false,
        "forwardable" => Address::is_forwardable,
        "loopback" => |address| address.ip.is_loopback(),
        "multicast" => |address| address.ip.is_multicast(),
        "link-local unicast" => |address| contains(v4(169, 254, 0, 0, 16), address.ip) || contains(v6(0xfe80, 0, 10), address.ip),
        "global unicast" => |address| {
            let is_local = contains(v4(169, 254, 0, 0, 16), address.ip) || contains(v6(0xfe80, 0, 10), address.ip);
            !is_local && !address.ip.is_loopback() && !address.ip.is_multicast() && !address.ip.is_unspecified()
        },
        _ => return Err(CallError(format!("sockaddr: {name:?} is no flag; up, down, forwardable, loopback, multicast …"))),
    })
}

/// What an RFC asks.
pub(super) fn rfc(number: &str) -> Result<Test, CallError> {
    Ok(match number.trim() {
        "6890" => Address::is_private,
        "1918" => |address| {
            [v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16)].iter().any(|net| contains(*net, address.ip))
        },
        "3927" => |address| contains(v4(169, 254, 0, 0, 16), address.ip),
        "4193" => |address| contains(v6(0xfc00, 0, 7), address.ip),
        "6598" => |address| contains(v4(100, 64, 0, 0, 10), address.ip),
        _ => return Err(CallError(format!("sockaddr: RFC {number} is not known; 1918, 3927, 4193, 6598 and 6890 are"))),
    })
}

/// The interface that the default route goes through, where the system says so in a file.
pub(super) fn default_interface() -> Option<String> {
    let routes = std::fs::read_to_string("/proc/net/route").ok()?;
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (name, destination) = (fields.next()?, fields.next()?);
        (destination == "00000000").then(|| name.to_owned())
    })
}
