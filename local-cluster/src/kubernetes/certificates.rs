//! Keys and certificates for one lifetime of the API server. In: the current time. Out: PEM texts.
//! Pure except for the random keys.
//!
//! The private keys of the certificate authorities are dropped when this function returns, so no
//! further identity can be issued once the servers run. etcd has its own authority, so that users
//! of the API server cannot access etcd directly.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// A certificate and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    pub certificate: String,
    pub key: String,
}

/// Everything the API server and its administrator need.
#[derive(Clone, Debug)]
pub struct Certificates {
    pub authority: String,
    pub server: ClientCertificate,
    pub admin: ClientCertificate,
    pub etcd: EtcdCertificates,
    /// Signs and checks ServiceAccount tokens: (private key, public key).
    pub tokens: (String, String),
}

/// The certificates of etcd and of its only client, the API server.
#[derive(Clone, Debug)]
pub struct EtcdCertificates {
    pub authority: String,
    pub server: ClientCertificate,
    pub client: ClientCertificate,
}

/// The host names of the API server on this machine.
const SERVER_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "kubernetes.default.svc"];

/// Creates new authorities and certificates. They are valid from one day ago (clocks differ) for a
/// year from now, which is longer than any demo runs.
pub fn new_certificates(now: Timestamp) -> Result<Certificates, rcgen::Error> {
    let (certificate, issuer) = new_authority("kinesis-demo-local", now)?;
    let mut server = params("kube-apiserver", None, &SERVER_NAMES, now)?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // `system:masters` is the group that RBAC's bootstrap policy binds to everything.
    let mut admin = params("kinesis-demo-admin", Some("system:masters"), &[], now)?;
    admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];

    let tokens = KeyPair::generate()?;
    Ok(Certificates {
        authority: certificate,
        server: signed(server, &issuer)?,
        admin: signed(admin, &issuer)?,
        etcd: new_etcd_certificates(now)?,
        tokens: (tokens.serialize_pem(), tokens.public_key_pem()),
    })
}

fn new_etcd_certificates(now: Timestamp) -> Result<EtcdCertificates, rcgen::Error> {
    let (authority, issuer) = new_authority("kinesis-demo-etcd", now)?;
    let mut server = params("etcd", None, &["127.0.0.1", "localhost"], now)?;
    // As a peer, etcd is also a client.
    server.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let mut client = params("kube-apiserver", None, &[], now)?;
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(EtcdCertificates { authority, server: signed(server, &issuer)?, client: signed(client, &issuer)? })
}

/// Creates an authority: its certificate, and the issuer that signs with its key.
fn new_authority(name: &str, now: Timestamp) -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut authority = params(name, None, &[], now)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = authority.self_signed(&key)?.pem();
    Ok((certificate, Issuer::new(authority, key)))
}

fn signed(
    mut params: CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<ClientCertificate, rcgen::Error> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    Ok(ClientCertificate { certificate: params.signed_by(&key, issuer)?.pem(), key: key.serialize_pem() })
}

fn params(
    common_name: &str,
    organization: Option<&str>,
    names: &[&str],
    now: Timestamp,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name = subject;
    let (year, month, day) = date(now, -1);
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date(now, 365);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(params)
}

/// The date that is `days` days after `now`.
fn date(now: Timestamp, days: i64) -> (i32, u8, u8) {
    let day = now.to_zoned(TimeZone::UTC).date().saturating_add(days.days());
    (i32::from(day.year()), day.month().unsigned_abs(), day.day().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_creates_new_keys_and_all_parts_are_pem() {
        let now = "2026-02-28T23:59:59Z".parse().unwrap();
        let first = new_certificates(now).unwrap();
        let second = new_certificates(now).unwrap();
        assert_ne!(first.authority, second.authority);
        assert_ne!(first.admin.key, second.admin.key);
        assert_ne!(first.admin.key, first.server.key);
        assert_ne!(first.authority, first.etcd.authority);
        for certificate in [
            &first.authority,
            &first.server.certificate,
            &first.admin.certificate,
            &first.etcd.authority,
            &first.etcd.server.certificate,
            &first.etcd.client.certificate,
        ] {
            assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        }
        assert!(first.tokens.0.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert!(first.tokens.1.starts_with("-----BEGIN PUBLIC KEY-----"));
    }
}
