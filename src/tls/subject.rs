//! Whose certificate it is, as text.

use rustls::Connection;
use x509_parser::der_parser::oid::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Names of attributes as RFC 4514 has them, and three more that are met.
const NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.4", "SN"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
];

/// The subject of the certificate that the other side has proved to hold, as text after RFC 4514: `CN=orders,O=Example`.
/// A certificate without a subject is known by its first other name, as in `URI:spiffe://example.org/orders`.
pub fn peer_subject(connection: &Connection) -> Option<String> {
    let der = connection.peer_certificates()?.first()?;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = text(certificate.subject());
    if subject.is_empty() {
        return other_name(&certificate);
    }
    Some(subject)
}

/// The names a server certificate stands for, in small letters.
pub(super) fn dns_names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    dns.collect()
}

fn other_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(name) => Some(format!("URI:{name}")),
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::RFC822Name(name) => Some(format!("EMAIL:{name}")),
        _ => None,
    })
}

/// A name as text after RFC 4514: the last part first.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = spell(attribute.attr_type());
    if let Ok(value) = attribute.as_str() {
        return format!("{kind}={}", escape(value));
    }
    let mut text = format!("{kind}=#");
    attribute
        .as_slice()
        .iter()
        .for_each(|byte| push_hex(&mut text, *byte));
    text
}

fn push_hex(text: &mut String, byte: u8) {
    let digits = [byte >> 4, byte & 0xf].map(|digit| char::from_digit(digit.into(), 16));
    text.extend(digits.into_iter().flatten());
}

fn spell(kind: &Oid<'_>) -> String {
    let number = kind.to_id_string();
    let named = NAMES.iter().find(|(known, _)| *known == number);
    named.map_or(number, |(_, name)| (*name).to_owned())
}

fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.push('\\'),
            '#' if at == 0 => text.push('\\'),
            ' ' if at == 0 || at == last => text.push('\\'),
            // What would break a line, or end a text, where this is shown.
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    text.push('\\');
                    push_hex(&mut text, byte);
                }
                continue;
            }
            _ => {}
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn subject(parts: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        text(parsed.subject())
    }

    #[test]
    fn a_subject_reads_from_its_last_part_to_its_first() {
        let parts = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Example"),
            (DnType::CommonName, "orders"),
        ];
        assert_eq!(subject(&parts), "CN=orders,O=Example,C=DE");
    }

    #[test]
    fn a_subject_cannot_pretend_to_be_another() {
        let parts = [
            (DnType::CommonName, " a,O=Bank+x\n"),
            (DnType::CustomDnType(vec![1, 2, 3, 4]), "#b "),
        ];
        assert_eq!(subject(&parts), r"1.2.3.4=\#b\ ,CN=\ a\,O=Bank\+x\0a");
    }
}
