//! The addresses and names of the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses and names of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// From this machine.
    pub url: String,
    /// From other machines, if it listens at all addresses.
    pub others: Vec<String>,
    /// Names, besides `localhost`, that `Host` may give.
    pub names: Vec<String>,
}

/// `host` as it was given, without the brackets that an IPv6 address has in a URL.
pub fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The names of a server that was given `host` and listens at `address`.
pub fn reach(host: &str, address: SocketAddr) -> Reach {
    let mut names = vec![host.to_owned()];
    if address.ip().is_loopback() {
        return Reach { url: url(address), others: vec![], names };
    }
    let own = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    names.extend(names_of(&own));
    if !address.ip().is_unspecified() {
        return Reach { url: url(address), others: vec![], names };
    }
    let loopback: IpAddr =
        if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut others: Vec<String> = interfaces
        .iter()
        .map(|interface| interface.ip())
        .filter(|ip| !ip.is_loopback() && ip.is_ipv4() == address.is_ipv4() && !is_link_local(ip))
        .map(|ip| url(SocketAddr::new(ip, address.port())))
        .collect();
    others.extend(names.get(1).map(|name| format!("http://{name}:{}/", address.port())));
    Reach { url: url(SocketAddr::new(loopback, address.port())), others, names }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

/// The names of a machine with host name `own`: the full name, the name without its domain, and its name in a
/// local network (mDNS).
fn names_of(own: &str) -> Vec<String> {
    let short = own.split('.').next().unwrap_or_default();
    if short.is_empty() || own.eq_ignore_ascii_case("localhost") {
        return vec![];
    }
    let mut names = vec![own.to_owned(), short.to_owned(), format!("{short}.local")];
    names.dedup();
    names
}

/// Such an address is only valid together with an interface.
fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_the_names_that_people_type() {
        assert_eq!(names_of("box.lan.example"), ["box.lan.example", "box", "box.local"]);
        assert_eq!(names_of("box"), ["box", "box.local"]);
        assert!(names_of("").is_empty() && names_of("localhost").is_empty());
    }

    #[test]
    fn brackets_are_those_of_a_url() {
        assert_eq!(
            ["[::1]", "::1", "127.0.0.1", "[", "photos"].map(bare),
            ["::1", "::1", "127.0.0.1", "[", "photos"]
        );
    }

    /// `0.0.0.0` is not an address that every browser can open.
    #[test]
    fn all_addresses_are_reached_by_one_of_them() {
        let at = |host: &str, address: &str| reach(host, address.parse().unwrap());
        let all = at("0.0.0.0", "0.0.0.0:7878");
        assert_eq!(all.url, "http://127.0.0.1:7878/");
        assert!(all.others.iter().all(|url| !url.contains("0.0.0.0") && url.ends_with(":7878/")), "{all:?}");
        assert_eq!(at("::", "[::]:1").url, "http://[::1]:1/");
        let one = at("::1", "[::1]:1");
        assert_eq!(
            (one.url.as_str(), one.others.len(), one.names),
            ("http://[::1]:1/", 0, vec!["::1".to_owned()])
        );
    }
}
