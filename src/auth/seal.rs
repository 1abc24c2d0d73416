//! Whether a command carries a signature that a change would break, and what becomes of it then.

use std::fmt;

use super::{ACCESS_KEY, Credentials, Identity, SECURITY_TOKEN, UnknownKey};
use crate::protocol::{Command, Fields};

/// What a command carries, found without any keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// No access key: anything may change.
    Unsigned,
    /// An access key: a change breaks the signature, and needs a new one.
    Signed,
    /// A token of temporary keys, which nobody here can know: nothing may change.
    Token,
}

/// Why a changed command cannot be signed again. Its text tells the operator what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealError {
    /// The client has temporary keys.
    Token,
    /// No credentials file is configured.
    NoCredentials,
    /// The client's signature was not verified, so signing would vouch for a stranger.
    Unverified,
    /// The key has left the credentials file since.
    UnknownKey(UnknownKey),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str(
                "the command is signed with temporary keys (SecurityToken), so it cannot be signed again after a change",
            ),
            Self::NoCredentials => f.write_str(
                "the command is signed, and there is no key to sign it again after a change; set `credentials`",
            ),
            Self::Unverified => f.write_str(
                "the command is signed with a key that is not in the credentials file, so it cannot be signed again \
                 after a change",
            ),
            Self::UnknownKey(error) => write!(f, "{error} any more"),
        }
    }
}

impl std::error::Error for SealError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnknownKey(error) => Some(error),
            Self::Token | Self::NoCredentials | Self::Unverified => None,
        }
    }
}

impl Seal {
    /// What a request with these fields carries: one pass, nothing kept.
    pub fn of(fields: &Fields<'_>) -> Self {
        let mut seal = Self::Unsigned;
        fields.each(&mut |name, value| {
            if name == SECURITY_TOKEN.as_bytes() {
                seal = Self::Token;
            } else if name == ACCESS_KEY.as_bytes()
                && seal == Self::Unsigned
                && value.text().is_some_and(|key| !key.is_empty())
            {
                seal = Self::Signed;
            }
        });
        seal
    }

    /// After the last change to `command`: signs it again where it was signed. `self` and `identity` are those of the
    /// command as the client sent it. After an error the changed command must not go on.
    pub fn renew(
        self,
        credentials: Option<&Credentials>,
        identity: &Identity,
        command: &mut Command,
    ) -> Result<(), SealError> {
        match (self, credentials, identity) {
            (Self::Unsigned, ..) => Ok(()),
            (Self::Token, ..) => Err(SealError::Token),
            (Self::Signed, None, _) => Err(SealError::NoCredentials),
            (Self::Signed, Some(credentials), Identity::Verified(access_key)) => credentials
                .sign(command, access_key)
                .map_err(SealError::UnknownKey),
            (Self::Signed, Some(_), Identity::Unsigned | Identity::Unknown(_) | Identity::Wrong(_)) => {
                Err(SealError::Unverified)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::SIGNATURE;
    use crate::protocol::{Head, request};

    fn seal(command: &Command) -> Seal {
        let frame = command.encode().unwrap();
        Seal::of(&Head::scan(&frame).unwrap().fields(&frame))
    }

    #[test]
    fn a_seal_tells_what_a_command_carries() {
        let plain = Command::request(request::HEART_BEAT, 1);
        assert_eq!(seal(&plain), Seal::Unsigned);
        let signed = plain.clone().with_field(ACCESS_KEY, "a");
        assert_eq!(seal(&signed), Seal::Signed);
        let token = signed.clone().with_field(SECURITY_TOKEN, "t");
        assert_eq!(seal(&token), Seal::Token);
        assert_eq!(
            seal(
                &plain
                    .clone()
                    .with_field(SECURITY_TOKEN, "t")
                    .with_field(ACCESS_KEY, "a")
            ),
            Seal::Token
        );
        assert_eq!(seal(&plain.with_field(ACCESS_KEY, "")), Seal::Unsigned);
    }

    #[test]
    fn only_a_verified_signature_is_renewed() {
        let credentials = Credentials::parse("[[key]]\naccess_key = 'a'\nsecret_key = 's'").unwrap();
        let renew = |seal: Seal, credentials, identity| {
            let mut command = Command::request(request::HEART_BEAT, 1).with_field(ACCESS_KEY, "a");
            seal.renew(credentials, &identity, &mut command)
                .map(|()| command.field(SIGNATURE).is_some())
        };
        let verified = || Identity::Verified("a".into());
        assert_eq!(
            renew(Seal::Unsigned, Some(&credentials), Identity::Unsigned),
            Ok(false)
        );
        assert_eq!(renew(Seal::Signed, Some(&credentials), verified()), Ok(true));
        assert_eq!(
            renew(Seal::Token, Some(&credentials), verified()),
            Err(SealError::Token)
        );
        assert_eq!(
            renew(Seal::Signed, None, Identity::Unsigned),
            Err(SealError::NoCredentials)
        );
        for identity in [Identity::Unknown("b".into()), Identity::Wrong("a".into())] {
            let outcome = renew(Seal::Signed, Some(&credentials), identity);
            assert_eq!(outcome, Err(SealError::Unverified));
        }
        let left = renew(Seal::Signed, Some(&credentials), Identity::Verified("b".into())).unwrap_err();
        assert_eq!(
            left.to_string(),
            "access key \"b\" is not in the credentials file any more"
        );
    }
}
