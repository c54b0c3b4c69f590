//! An authority of its own, and a certificate of `localhost` by it, made anew at each start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::Error;

/// Writes the authority's certificate into a folder, which is made, and gives its path.
pub fn make(folder: &Path) -> Result<(PathBuf, TlsAcceptor), Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "jobwarden's load endpoint");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    // Python's TLS refuses a certificate that does not name its authority's key.
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &authority)?;

    std::fs::create_dir_all(folder)?;
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((ca, TlsAcceptor::from(Arc::new(config))))
}
