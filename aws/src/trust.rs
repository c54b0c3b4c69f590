//! Which certificates are trusted: those that chain to Amazon's own roots, and failing that, to the system's.
//!
//! AWS signs its endpoints' certificates by five roots, which are compiled in. Reading the system's is most of a cold
//! start where there are a hundred and fifty of them, so it is done when somebody else has signed: in China, or for a
//! proxy.

use std::env;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// From <https://www.amazontrust.com/repository/>.
const AMAZON: [&[u8]; 5] = [
    include_bytes!("roots/amazon-root-ca-1.der"),
    include_bytes!("roots/amazon-root-ca-2.der"),
    include_bytes!("roots/amazon-root-ca-3.der"),
    include_bytes!("roots/amazon-root-ca-4.der"),
    include_bytes!("roots/starfield-services-root-g2.der"),
];

/// Where somebody says what is to be trusted, as OpenSSL understands it. Then nothing else is.
const SAID: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// TLS with what is trusted. Without any root of the system's, calls by https to others than AWS fail and say so; an
/// emulator is called by http.
pub(crate) fn tls() -> ClientConfig {
    let builder = ClientConfig::builder();
    if SAID.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return builder.with_root_certificates(of_system()).with_no_client_auth();
    }
    match Trust::new(amazon(), of_system) {
        Some(trust) => {
            let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(trust));
            builder.with_no_client_auth()
        }
        None => builder.with_root_certificates(of_system()).with_no_client_auth(),
    }
}

fn of_system() -> RootCertStore {
    store(rustls_native_certs::load_native_certs().certs)
}

fn amazon() -> RootCertStore {
    store(AMAZON.map(CertificateDer::from))
}

fn store<'a>(certificates: impl IntoIterator<Item = CertificateDer<'a>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

/// Asks the second roots where the first know nothing of who has signed: about nothing else can the two disagree. It
/// is rustls's own verifier that judges, in both cases.
#[derive(Debug)]
struct Trust {
    first: Arc<WebPkiServerVerifier>,
    second: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
    read_second: fn() -> RootCertStore,
}

impl Trust {
    /// Trusts `first`, and what is read by `read_second` when it is needed.
    fn new(first: RootCertStore, read_second: fn() -> RootCertStore) -> Option<Self> {
        Some(Self { first: verifier(first)?, second: OnceLock::new(), read_second })
    }

    fn second(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        self.second.get_or_init(|| verifier((self.read_second)())).as_ref()
    }
}

/// None without any root.
fn verifier(roots: RootCertStore) -> Option<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder(Arc::new(roots)).build().ok()
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |by: &WebPkiServerVerifier| {
            by.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let verified = verify(&self.first);
        match verified {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                self.second().map_or(verified, |second| verify(second))
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use sha2::{Digest, Sha256};

    use super::*;

    fn signer(seed: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, seed);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// As Amazon publishes them.
    #[test]
    fn the_roots_compiled_in_are_amazons() {
        let fingerprints = [
            "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
            "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
            "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
            "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
            "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
        ];
        let found = AMAZON.map(|root| {
            let hash = Sha256::digest(root);
            hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        });
        assert_eq!(found, fingerprints);
        assert_eq!(amazon().len(), AMAZON.len());
    }

    thread_local! {
        static SECOND: std::cell::RefCell<(usize, Vec<CertificateDer<'static>>)> = Default::default();
    }

    fn second() -> RootCertStore {
        SECOND.with_borrow_mut(|(read, roots)| {
            *read += 1;
            store(roots.clone())
        })
    }

    #[test]
    fn the_second_roots_are_read_when_the_first_do_not_know_who_has_signed() {
        let [first, other, nobody] = ["first", "other", "nobody"].map(signer);
        let signed_by = |issuer: &CertifiedIssuer<'_, KeyPair>| {
            let params = CertificateParams::new(["iot.test".to_owned()]).unwrap();
            params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
        };
        let trust = |roots: &[&CertifiedIssuer<'_, KeyPair>]| {
            let roots = roots.iter().map(|root| root.der().clone()).collect();
            SECOND.set((0, roots));
            Trust::new(store([first.der().clone()]), second).unwrap()
        };
        let read = || SECOND.with_borrow(|(read, _)| *read);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let verify = |trust: &Trust, certificate: &CertificateDer<'_>, name: &'static str, now| {
            let name = ServerName::try_from(name).unwrap();
            let verified = trust.verify_server_cert(certificate, &[], &name, &[], now);
            verified.map(drop).map_err(|error| match error {
                Error::InvalidCertificate(error) => error,
                other => panic!("{other}"),
            })
        };

        let with_other = trust(&[&other]);
        assert_eq!(verify(&with_other, &signed_by(&first), "iot.test", now), Ok(()));
        // What the first find wrong, nobody is asked about.
        let elsewhere = verify(&with_other, &signed_by(&first), "elsewhere.test", now);
        assert!(matches!(elsewhere, Err(CertificateError::NotValidForNameContext { .. })), "{elsewhere:?}");
        let late = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
        let expired = verify(&with_other, &signed_by(&first), "iot.test", late);
        assert!(matches!(expired, Err(CertificateError::ExpiredContext { .. })), "{expired:?}");
        assert_eq!(read(), 0);

        assert_eq!(verify(&with_other, &signed_by(&other), "iot.test", now), Ok(()));
        let elsewhere = verify(&with_other, &signed_by(&other), "elsewhere.test", now);
        assert!(matches!(elsewhere, Err(CertificateError::NotValidForNameContext { .. })), "{elsewhere:?}");
        let unknown = Err(CertificateError::UnknownIssuer);
        assert_eq!(verify(&with_other, &signed_by(&nobody), "iot.test", now), unknown);
        assert_eq!(read(), 1);
        // A system without any root.
        assert_eq!(verify(&trust(&[]), &signed_by(&other), "iot.test", now), unknown);
    }
}
