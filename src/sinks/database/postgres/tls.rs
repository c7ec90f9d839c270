//! How the server's certificate is checked.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{Config, Verification};
use crate::sinks::{ClientCertificate, SinkError};

/// The TLS side of a connection.
pub(super) fn connector(config: &Config) -> Result<MakeRustlsConnect, SinkError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match config.verification() {
        Verification::Nothing => Arc::new(Anything(provider)),
        Verification::Authority => Arc::new(AnyHost(trusted(config, provider)?)),
        Verification::AuthorityAndHost => trusted(config, provider)?,
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let client = match &config.tls().client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let (chain, key) = shown(client)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(&format!("certificate and key do not go together ({error})")))?
        }
    };
    Ok(MakeRustlsConnect::new(client))
}

/// What is shown to a server that asks for a certificate. What the parser says could quote the key, so it is left out.
fn shown(
    client: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SinkError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&client.certificate_pem).collect();
    let chain = chain.map_err(|_| unusable("tls.crt is not PEM"))?;
    if chain.is_empty() {
        return Err(unusable("tls.crt holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&client.key_pem)
        .map_err(|_| unusable("tls.key holds no private key as PEM"))?;
    Ok((chain, key))
}

fn unusable(what: &str) -> SinkError {
    SinkError::Terminal {
        message: format!("the client certificate can't be used: {what}"),
        hint: "check the Secret that spec.tls.clientCertSecretRef names".to_owned(),
    }
}

fn broken(message: String) -> SinkError {
    SinkError::Terminal {
        message: format!("TLS can't be set up: {message}"),
        hint: "check spec.tls".to_owned(),
    }
}

fn trusted(config: &Config, provider: Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, SinkError> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = &config.tls().ca_pem {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate =
                certificate.map_err(|error| broken(format!("the authority is not PEM: {error}")))?;
            roots
                .add(certificate)
                .map_err(|error| broken(format!("the authority can't be used: {error}")))?;
        }
        if roots.is_empty() {
            return Err(broken("the authority holds no certificate".to_owned()));
        }
    } else {
        // Certificates of the operating system that can't be read are no reason to refuse the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(SinkError::Terminal {
                message: "TLS can't be set up: the operating system has no certificate authorities"
                    .to_owned(),
                hint: "give one in spec.tls.caBundle or spec.tls.caSecretRef".to_owned(),
            });
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| broken(error.to_string()))
}

/// Checks that an authority signed the certificate, but not for which host (`sslmode=verify-ca`).
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is looked at last, after everything else was found to be in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Takes any certificate whose key the server has.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
