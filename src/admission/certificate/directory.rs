//! A certificate that somebody else writes into a directory, cert-manager for example.

use std::path::Path;

use rustls::sign::CertifiedKey;

use super::issue;

/// Reads `tls.crt` and `tls.key`. A mounted Secret changes as a whole, but not between two reads of ours: then the two don't
/// belong together, which is an error until the next look.
pub(super) async fn read(directory: &Path) -> Result<CertifiedKey, String> {
    let file = async |name: &str| {
        let path = directory.join(name);
        tokio::fs::read(&path).await.map_err(|error| format!("{} can't be read: {error}", path.display()))
    };
    let (certificate, key) = (file("tls.crt").await?, file("tls.key").await?);
    issue::key(&certificate, &key).map_err(|why| format!("in {}: {why}", directory.display()))
}
