//! Who may ask: the token, and the names that this server answers to.
//!
//! A token alone does not protect a server on loopback from the user's own browser: a page from elsewhere can make the
//! browser send requests here, with a name of its own that resolves to 127.0.0.1. So every request has to name us in
//! `Host`, and one that names its `Origin` has to come from our own page.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use subtle::ConstantTimeEq;
use warp::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, ORIGIN};
use warp::http::uri::Authority;

use crate::reject::ApiError;

/// The secret that every request shows. It prints as dots.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The bytes that a token is drawn from.
    pub const BYTES: usize = 32;

    /// The token of these random bytes.
    pub fn from_random(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Reads a token that was written before; none if it is not of the form that [`Token::from_random`] makes.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == Self::BYTES * 2 && hex).then(|| Self(text.to_owned()))
    }

    /// The token itself, for those who may know it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is it, in a time that does not depend on where the two differ.
    pub fn is(&self, offered: &str) -> bool {
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Decides whether a request may be answered.
#[derive(Clone, Debug)]
pub struct Access {
    token: Token,
    listen: SocketAddr,
    allowed_hosts: Vec<String>,
    cookie: String,
}

impl Access {
    /// For a server on this address that also answers to these names (each with or without a port).
    pub fn new(token: Token, listen: SocketAddr, allowed_hosts: Vec<String>) -> Self {
        // Cookies do not tell ports apart, so two servers on one machine need names of their own.
        let cookie = format!("boocoder_{}", listen.port());
        Self { token, listen, allowed_hosts, cookie }
    }

    /// Whether the request names this server, and comes from its page if it comes from a page.
    ///
    /// # Errors
    /// 403, saying which of the two was wrong.
    pub fn check_place(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let named = single(headers, HOST).and_then(|host| host.parse().ok());
        if !named.is_some_and(|host| self.answers_to(&host, 80)) {
            let hint =
                "this server does not answer to that host name; `allowed_hosts` in its configuration lists others";
            return Err(ApiError::forbidden("wrong_host", hint));
        }
        if !headers.contains_key(ORIGIN) || single(headers, ORIGIN).is_some_and(|origin| self.is_own_origin(origin)) {
            return Ok(());
        }
        Err(ApiError::forbidden("wrong_origin", "requests from pages of other origins are not answered"))
    }

    /// Whether the request shows the token: as a bearer token, else in the cookie.
    ///
    /// # Errors
    /// 401, saying where the token is found.
    pub fn check_token(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let offered = match headers.get(AUTHORIZATION) {
            Some(value) => value.to_str().ok().and_then(bearer),
            None => {
                headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).find_map(|it| self.crumb(it))
            }
        };
        match offered {
            Some(offered) if self.token.is(offered) => Ok(()),
            Some(_) => Err(ApiError::unauthorized("wrong_token", "the token is not this server's")),
            None => Err(ApiError::unauthorized(
                "no_token",
                "a token is needed: open the address that the server printed, or send `Authorization: Bearer` with the \
                 token in server.json",
            )),
        }
    }

    /// The cookie to set when the page is opened with the right token in its address.
    pub fn cookie_for(&self, offered: &str) -> Option<String> {
        let token = self.token.is(offered).then(|| self.token.reveal())?;
        Some(format!("{}={token}; Path=/; HttpOnly; SameSite=Strict", self.cookie))
    }

    fn crumb<'a>(&self, cookies: &'a str) -> Option<&'a str> {
        cookies
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.cookie)
            .map(|it| it.1)
    }

    fn is_own_origin(&self, origin: &str) -> bool {
        let (authority, default_port) = match origin.split_once("://") {
            Some(("http", authority)) => (authority, 80),
            Some(("https", authority)) => (authority, 443),
            Some(_) | None => return false,
        };
        authority.parse().is_ok_and(|authority: Authority| self.answers_to(&authority, default_port))
    }

    fn answers_to(&self, authority: &Authority, default_port: u16) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host();
        let allowed = |name: &String| name.eq_ignore_ascii_case(authority.as_str()) || name.eq_ignore_ascii_case(host);
        if self.allowed_hosts.iter().any(allowed) {
            return true;
        }
        let ours = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || (address == self.listen.ip() && !address.is_unspecified()),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        ours && authority.port_u16().unwrap_or(default_port) == self.listen.port()
    }
}

/// The header's value if it is there once, as text.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::{HeaderValue, StatusCode};

    fn access(listen: &str) -> Access {
        let token = Token::from_random([7; Token::BYTES]);
        Access::new(token, listen.parse().unwrap(), vec!["coder.example".into(), "proxy.example:8443".into()])
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn only_its_own_names_are_answered() {
        let access = access("127.0.0.1:4317");
        for (host, allowed) in [
            ("127.0.0.1:4317", true),
            ("localhost:4317", true),
            ("LOCALHOST:4317", true),
            ("[::1]:4317", true),
            ("127.0.0.2:4317", true),
            ("coder.example", true),
            ("coder.example:9", true),
            ("proxy.example:8443", true),
            ("proxy.example", false),
            ("127.0.0.1:4318", false),
            ("127.0.0.1", false),
            ("localhost", false),
            ("evil.example:4317", false),
            ("localhost.evil.example:4317", false),
            ("127.0.0.1.evil.example:4317", false),
            ("0.0.0.0:4317", false),
            ("user@127.0.0.1:4317", false),
            ("192.168.0.7:4317", false),
            ("127.0.0.1:4317/", false),
            ("", false),
        ] {
            let found = access.check_place(&headers(&[("host", host)]));
            assert_eq!(found.is_ok(), allowed, "{host:?}: {found:?}");
        }
        assert_eq!(access.check_place(&HeaderMap::new()).unwrap_err().status, StatusCode::FORBIDDEN);
        let mut twice = headers(&[("host", "127.0.0.1:4317")]);
        twice.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(access.check_place(&twice).is_err(), "two hosts are none");
    }

    #[test]
    fn a_configured_address_is_one_of_its_names() {
        assert!(access("192.168.0.7:80").check_place(&headers(&[("host", "192.168.0.7")])).is_ok());
        assert!(access("192.168.0.7:80").check_place(&headers(&[("host", "localhost")])).is_ok());
        assert!(access("0.0.0.0:4317").check_place(&headers(&[("host", "0.0.0.0:4317")])).is_err());
    }

    #[test]
    fn only_its_own_pages_are_answered() {
        let access = access("127.0.0.1:4317");
        for (origin, allowed) in [
            ("http://127.0.0.1:4317", true),
            ("http://localhost:4317", true),
            ("https://coder.example", true),
            ("https://proxy.example:8443", true),
            ("http://127.0.0.1:3000", false),
            ("http://127.0.0.1", false),
            ("https://evil.example", false),
            ("null", false),
            ("file://", false),
            ("chrome-extension://localhost:4317", false),
            ("", false),
        ] {
            let found = access.check_place(&headers(&[("host", "127.0.0.1:4317"), ("origin", origin)]));
            assert_eq!(found.is_ok(), allowed, "{origin:?}: {found:?}");
        }
    }

    #[test]
    fn the_token_comes_as_bearer_or_in_the_cookie() {
        let access = access("127.0.0.1:4317");
        let token = access.token.reveal().to_owned();
        let cookie = format!("other=1; boocoder_4317={token}; last=x");
        let foreign = format!("boocoder_9={token}");
        let bearer = format!("Bearer {token}");
        for (name, value, code) in [
            ("authorization", bearer.as_str(), None),
            ("authorization", &format!("bearer {token}"), None),
            ("cookie", &cookie, None),
            ("authorization", &token, Some("no_token")),
            ("authorization", &bearer[..bearer.len() - 1], Some("wrong_token")),
            ("authorization", &format!("{bearer}0"), Some("wrong_token")),
            ("authorization", "Bearer ", Some("wrong_token")),
            ("authorization", &format!("Basic {token}"), Some("no_token")),
            ("cookie", &foreign, Some("no_token")),
            ("cookie", "boocoder_4317=", Some("wrong_token")),
            ("x-token", &token, Some("no_token")),
        ] {
            let refused = access.check_token(&headers(&[(name, value)])).err();
            assert_eq!(refused.map(|error| error.problem.code), code.map(Into::into), "{name}: {value}");
        }
        let both = headers(&[("authorization", "Bearer wrong"), ("cookie", &cookie)]);
        assert!(access.check_token(&both).is_err(), "a wrong bearer token is not healed by the cookie");
    }

    #[test]
    fn the_cookie_is_given_for_the_token_alone() {
        let access = access("127.0.0.1:4317");
        let cookie = access.cookie_for(access.token.reveal()).unwrap();
        assert!(
            cookie.starts_with("boocoder_4317=0707") && cookie.ends_with("; HttpOnly; SameSite=Strict"),
            "{cookie}"
        );
        assert_eq!(access.cookie_for("07"), None);
        assert!(!format!("{access:?}").contains("0707"), "the token is not shown by accident");
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = Token::from_random([0xab; Token::BYTES]);
        assert!(Token::parse(&format!("{}\n", token.reveal())).unwrap().is(token.reveal()));
        for text in ["", "abc", &"g".repeat(64), &"AB".repeat(32)] {
            assert!(Token::parse(text).is_none(), "{text:?}");
        }
    }
}
