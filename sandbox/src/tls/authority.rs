//! The certificate authority of one sandbox, and its only certificate. In: names and the current
//! day. Out: certificates and a key. Pure except for the random keys.
//!
//! The authority's key never leaves [`issue`]. A client that trusts its certificate therefore
//! trusts this sandbox only, and no certificate signed later.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// From one day ago, since clocks differ, for one year, which is longer than any sandbox lives.
const VALID_DAYS: std::ops::RangeInclusive<i64> = -1..=365;

/// The certificates and the key of a sandbox.
pub struct ServerCertificate {
    /// The authority's certificate in PEM, for clients to trust.
    pub authority: String,
    /// The sandbox's certificate.
    pub certificate: CertificateDer<'static>,
    /// The key of the sandbox's certificate.
    pub key: PrivateKeyDer<'static>,
}

/// The names of a certificate: those of loopback, the listening address unless it is unspecified,
/// and `more`.
pub fn names(listening: IpAddr, more: &[String]) -> Vec<String> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    let addresses = loopback.into_iter().chain([listening]).filter(|address| !address.is_unspecified());
    let mut seen = BTreeSet::new();
    ["localhost".to_owned()]
        .into_iter()
        .chain(addresses.map(|address| address.to_string()))
        .chain(more.iter().map(|name| name.trim_matches(['[', ']']).trim_end_matches('.').to_lowercase()))
        .filter(|name| seen.insert(name.clone()))
        .collect()
}

/// Creates an authority and a certificate for these names.
pub fn issue(names: Vec<String>, now: Timestamp) -> Result<ServerCertificate, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = params(Vec::new(), "kinesis-demo-sandbox authority", now)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let published = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let mut server = params(names, "kinesis-demo-sandbox", now)?;
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(ServerCertificate {
        authority: published,
        certificate: server.signed_by(&key, &issuer)?.der().clone(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    })
}

fn params(names: Vec<String>, common_name: &str, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let day = |days: i64| {
        let day = now.to_zoned(TimeZone::UTC).date().saturating_add(days.days());
        rcgen::date_time_ymd(i32::from(day.year()), day.month().unsigned_abs(), day.day().unsigned_abs())
    };
    params.not_before = day(*VALID_DAYS.start());
    params.not_after = day(*VALID_DAYS.end());
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_loopback_the_address_and_more_without_repeats() {
        let more = ["Sandbox.demo.svc.".to_owned(), "localhost".to_owned(), "[::1]".to_owned()];
        assert_eq!(
            names([10, 1, 2, 3].into(), &more),
            ["localhost", "127.0.0.1", "::1", "10.1.2.3", "sandbox.demo.svc"]
        );
        assert_eq!(names([0, 0, 0, 0].into(), &[]), ["localhost", "127.0.0.1", "::1"]);
        assert_eq!(names([127, 0, 0, 1].into(), &[]), ["localhost", "127.0.0.1", "::1"]);
    }

    #[test]
    fn each_sandbox_has_its_own_authority_without_a_stored_key() {
        let issue = || {
            let identity = issue(vec!["localhost".to_owned()], Timestamp::UNIX_EPOCH).unwrap();
            assert!(identity.authority.starts_with("-----BEGIN CERTIFICATE-----"));
            assert!(!identity.authority.contains("PRIVATE KEY"));
            identity
        };
        let (first, second) = (issue(), issue());
        assert_ne!(first.authority, second.authority);
        assert_ne!(first.key.secret_der(), second.key.secret_der());
    }
}
