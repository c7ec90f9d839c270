//! Makes certificates, and says for how long they are good. No I/O.
//!
//! Each certificate has an authority of its own, whose key is thrown away when it has signed: nobody can ever sign another
//! one. So certificate and authority are renewed together, and the one before stays trusted until the next renewal.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

/// So far the clocks of the cluster may differ.
const CLOCK_SKEW: Duration = Duration::from_mins(10);

/// A certificate with its key, and the authorities to trust: its own first, then the one before. All in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::admission) struct Issued {
    pub(in crate::admission) authorities: String,
    pub(in crate::admission) certificate: String,
    pub(in crate::admission) key: String,
}

/// Makes a certificate for a host. `before` are the authorities trusted so far.
pub(in crate::admission) fn issue(
    host: &str,
    valid: Duration,
    before: &str,
    now: SystemTime,
) -> Result<Issued, rcgen::Error> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = |since_epoch: Duration| rcgen::date_time_ymd(1970, 1, 1) + since_epoch;
    let times = |parameters: &mut CertificateParams| {
        parameters.not_before = at(now.saturating_sub(CLOCK_SKEW));
        parameters.not_after = at(now + valid);
    };
    let mut authority = CertificateParams::default();
    // Two authorities of one name would be taken for each other.
    let name = format!("kollect webhook authority {:016x}", fastrand::u64(..));
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    times(&mut authority);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut leaf = CertificateParams::new(vec![host.to_owned()])?;
    // The longest common name is 64 bytes; a client looks at the alternative names anyway.
    leaf.distinguished_name.push(DnType::CommonName, "kollect webhook");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    times(&mut leaf);
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &authority)?;
    Ok(Issued {
        authorities: format!("{}{}", authority.pem(), first(before)),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// The first certificate of a PEM file.
fn first(pem: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----";
    pem.find(END).map_or("", |at| pem[..at + END.len()].trim_start())
}

/// What is served. The text never holds a part of the key.
pub(in crate::admission) fn key(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|_| "the certificate is not PEM".to_owned())?;
    if chain.is_empty() {
        return Err("there is no certificate in PEM form".to_owned());
    }
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|_| "there is no private key in PEM form".to_owned())?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| format!("certificate and key can't be used together: {error}"))
}

/// Whether a client that trusts the authorities takes the certificate for this host, now and after some time.
pub(in crate::admission) fn lasts(
    issued: &CertifiedKey,
    authorities: &[u8],
    host: &str,
    now: SystemTime,
    after: Duration,
) -> bool {
    let holds = |at: SystemTime| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).filter_map(Result::ok));
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
        let name = ServerName::try_from(host).ok()?;
        let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).ok()?);
        let (leaf, between) = issued.cert.split_first()?;
        verifier.verify_server_cert(leaf, between, &name, &[], at).ok()
    };
    holds(now).is_some() && holds(now + after).is_some()
}
