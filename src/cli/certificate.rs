//! Generates certificates: a CA, and certificates of gateways.

use std::net::IpAddr;

use crate::access::is_dns_name;
use jiff::ToSpan as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// How long the CA is valid, in days.
const CA_DAYS: i64 = 3_650;
/// How long the gateway's certificate is valid, in days.
const SERVER_DAYS: i64 = 397;

/// A CA that signs certificates of gateways.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Generates a CA. Returns it with its certificate and its key, in PEM.
    ///
    /// # Errors
    /// A sentence, if the system gives no random numbers or the clock is out of range.
    pub fn generate() -> Result<(Self, String, String), String> {
        let mut params = CertificateParams::new(Vec::new()).map_err(text)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "auditgate CA");
        set_validity(&mut params, CA_DAYS)?;
        let key = KeyPair::generate().map_err(text)?;
        let certificate = params.self_signed(&key).map_err(text)?.pem();
        let key_pem = key.serialize_pem();
        Ok((Self { issuer: Issuer::new(params, key) }, certificate, key_pem))
    }

    /// The CA of this certificate and this key, in PEM.
    ///
    /// # Errors
    /// A sentence, if one of them is invalid.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, String> {
        let key = KeyPair::from_pem(key).map_err(|error| format!("the key: {error}"))?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key)
            .map_err(|error| format!("the certificate: {error}"))?;
        Ok(Self { issuer })
    }

    /// A certificate for a gateway with this key that clients reach at these hosts, in PEM.
    /// It is valid from yesterday on, since clocks differ.
    ///
    /// # Errors
    /// A sentence, if a host is not a name or an address.
    pub fn certify(&self, key: &KeyPair, hosts: &[String]) -> Result<String, String> {
        let mut params = CertificateParams::new(Vec::new()).map_err(text)?;
        params.subject_alt_names = hosts.iter().map(|host| name(host)).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, "auditgate");
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, SERVER_DAYS)?;
        Ok(params.signed_by(key, &self.issuer).map_err(text)?.pem())
    }
}

/// The parts of a gateway's certificate that a renewed one repeats.
pub struct Leaf {
    /// The hosts that it names.
    pub hosts: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
}

impl Leaf {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// A sentence, if the text has no valid certificate.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "there is no certificate in PEM".to_owned())?;
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        Ok(Self {
            hosts: names.iter().filter_map(host).collect(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}

/// The host that a subject alternative name is; `None` if it is of another kind.
fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn name(host: &str) -> Result<SanType, String> {
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) if !is_host_name(host) => Err(format!("{host:?} is not the name of a host")),
        Err(_) => host.try_into().map(SanType::DnsName).map_err(text),
    }
}

/// Whether a text consists of DNS labels; the first one may be `*`.
fn is_host_name(host: &str) -> bool {
    is_dns_name(host.strip_prefix("*.").unwrap_or(host))
}

/// From yesterday on, since clocks differ, for so many days.
fn set_validity(params: &mut CertificateParams, days: i64) -> Result<(), String> {
    let today = jiff::Zoned::now().date();
    let at = |offset: i64| -> Result<_, String> {
        let date = today.checked_add(offset.days()).map_err(|error| error.to_string())?;
        Ok(rcgen::date_time_ymd(i32::from(date.year()), date.month() as u8, date.day() as u8))
    };
    params.not_before = at(-1)?;
    params.not_after = at(days)?;
    Ok(())
}

fn text(error: rcgen::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_read_back_with_its_hosts() {
        let hosts = ["localhost", "audit.example.org", "127.0.0.1", "::1"].map(str::to_owned);
        let (authority, ca, ca_key) = Authority::generate().unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = Leaf::from_pem(&authority.certify(&key, &hosts).unwrap()).unwrap();
        assert_eq!(leaf.hosts, hosts);
        let days = (leaf.not_after - jiff::Timestamp::now().as_second()) / (24 * 60 * 60);
        assert!((SERVER_DAYS - 2..=SERVER_DAYS).contains(&days), "{days}");

        let again = Authority::from_pem(&ca, &ca_key).unwrap();
        assert_eq!(Leaf::from_pem(&again.certify(&key, &hosts).unwrap()).unwrap().hosts, hosts);
        let refused = Authority::from_pem(&ca, "no key").err().unwrap();
        assert!(refused.starts_with("the key: "), "{refused}");
        assert_eq!(Leaf::from_pem(&ca_key).err().unwrap(), "there is no certificate in PEM");
        for host in ["a b", "", "a..b", "*", "audit.*", "ü", "https://audit"] {
            let refused = authority.certify(&key, &[host.to_owned()]).unwrap_err();
            assert!(refused.contains(&format!("{host:?} is not the name of a host")), "{refused}");
        }
        assert!(authority.certify(&key, &["*.example.org".to_owned()]).is_ok());
    }
}
