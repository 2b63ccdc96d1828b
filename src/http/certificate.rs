//! What is wrong with a server's certificate, in plain words.

/// For what rustls reports most often; `reason` is its text. "Its" is the server's.
pub fn certificate_problem(reason: &str) -> Option<&'static str> {
    Some(if reason.contains("CaUsedAsEndEntity") {
        "its certificate is one of a certificate authority. Make one for a server (basicConstraints=CA:FALSE)"
    } else if reason.contains("UnknownIssuer") {
        "this machine does not trust the authority that issued its TLS certificate"
    } else if reason.contains("certificate expired") {
        "its TLS certificate has expired"
    } else if reason.contains("certificate not valid yet") {
        "its TLS certificate is not valid yet"
    } else if reason.contains("certificate not valid for name") {
        "its TLS certificate is for another name"
    } else {
        return None;
    })
}
