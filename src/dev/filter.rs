//! Which messages a subscription wants: all, those with certain tags, or those that an SQL92 expression holds for.
//!
//! The SQL is what tests and demos use: `=`, `<>`, `<`, `>`, `<=`, `>=`, `AND`, `OR`, `NOT`, `IN`, `BETWEEN`, `IS NULL`
//! and parentheses over properties, numbers, strings, `TRUE` and `FALSE`. An unknown value makes a comparison unknown.

use std::collections::HashSet;

use super::properties;
use super::record::Message;
use super::store::Stored;

/// Depth of nesting at which an expression is refused.
const DEPTH: usize = 64;

/// A compiled subscription.
#[derive(Debug)]
pub(super) enum Filter {
    /// Everything.
    All,
    /// Messages whose tag has one of these hash codes.
    Tags(HashSet<i32>),
    /// Messages for whose properties this is true.
    Sql(Sql),
}

/// A compiled SQL expression.
#[derive(Debug)]
pub(super) enum Sql {
    Or(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Compare(Operand, Relation, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    IsNull(Operand),
    Is(Operand),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Property(String),
    Number(f64),
    Text(String),
    Truth(bool),
}

impl Filter {
    /// Compiles a subscription; the error says what is wrong with it.
    pub(super) fn new(kind: &str, expression: &str) -> Result<Self, String> {
        if !kind.is_empty() && !kind.eq_ignore_ascii_case("TAG") {
            return if kind == "SQL92" {
                Sql::parse(expression).map(Self::Sql)
            } else {
                Err(format!("no filter of type {kind}"))
            };
        }
        if matches!(expression, "" | "*") {
            return Ok(Self::All);
        }
        let tags = expression
            .split("||")
            .map(str::trim)
            .filter(|tag| !tag.is_empty());
        Ok(Self::Tags(tags.map(properties::hash_code).collect()))
    }

    /// Whether a stored message is wanted.
    pub(super) fn matches(&self, stored: &Stored) -> bool {
        match self {
            Self::All => true,
            Self::Tags(codes) => codes.contains(&stored.tag),
            Self::Sql(sql) => Message::decode(&stored.record)
                .is_some_and(|(message, _)| sql.holds(&message.properties) == Some(true)),
        }
    }
}

impl Operand {
    fn value(&self, text: &str) -> Option<Self> {
        match self {
            Self::Property(name) => properties::find(text, name).map(|value| Self::Text(value.to_owned())),
            other => Some(other.clone()),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    fn compare(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Truth(a), Self::Truth(b)) => Some(a.cmp(b)),
            (Self::Truth(truth), Self::Text(text)) | (Self::Text(text), Self::Truth(truth)) => {
                text.parse().ok().map(|text: bool| truth.cmp(&text))
            }
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }
}

impl Sql {
    /// True, false, or unknown.
    fn holds(&self, text: &str) -> Option<bool> {
        match self {
            Self::Or(a, b) => match (a.holds(text), b.holds(text)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::And(a, b) => match (a.holds(text), b.holds(text)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Not(inner) => inner.holds(text).map(|truth| !truth),
            Self::Compare(a, relation, b) => {
                let order = a.value(text)?.compare(&b.value(text)?)?;
                Some(match relation {
                    Relation::Equal => order.is_eq(),
                    Relation::NotEqual => order.is_ne(),
                    Relation::Less => order.is_lt(),
                    Relation::LessOrEqual => order.is_le(),
                    Relation::Greater => order.is_gt(),
                    Relation::GreaterOrEqual => order.is_ge(),
                })
            }
            Self::Between(value, low, high) => {
                let value = value.value(text)?;
                let above = value.compare(&low.value(text)?)?.is_ge();
                Some(above && value.compare(&high.value(text)?)?.is_le())
            }
            Self::In(value, list) => {
                let value = value.value(text)?;
                Some(
                    list.iter()
                        .any(|one| value.compare(one).is_some_and(std::cmp::Ordering::is_eq)),
                )
            }
            Self::IsNull(value) => Some(value.value(text).is_none()),
            Self::Is(value) => value
                .value(text)?
                .compare(&Operand::Truth(true))
                .map(std::cmp::Ordering::is_eq),
        }
    }

    fn parse(expression: &str) -> Result<Self, String> {
        let mut parser = Parser {
            tokens: tokens(expression)?,
            at: 0,
            depth: 0,
        };
        let sql = parser.or()?;
        match parser.next() {
            None => Ok(sql),
            Some(token) => Err(format!("unexpected {token:?}")),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Number(f64),
    Text(String),
    Sign(&'static str),
}

fn tokens(expression: &str) -> Result<Vec<Token>, String> {
    const SIGNS: [&str; 10] = ["<=", ">=", "<>", "!=", "<", ">", "=", "(", ")", ","];
    let mut found = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            let (text, after) = quoted.split_once('\'').ok_or("a string without an end")?;
            found.push(Token::Text(text.to_owned()));
            rest = after;
        } else if let Some((sign, after)) = SIGNS
            .iter()
            .find_map(|sign| Some((*sign, rest.strip_prefix(sign)?)))
        {
            found.push(Token::Sign(sign));
            rest = after;
        } else if first.is_ascii_digit() || matches!(first, '-' | '+' | '.') {
            let end = rest
                .char_indices()
                .skip(1)
                .find(|(_, c)| !c.is_ascii_digit() && *c != '.');
            let (text, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
            found.push(Token::Number(
                text.parse().map_err(|_bad| format!("{text} is no number"))?,
            ));
            rest = after;
        } else if first.is_alphabetic() || matches!(first, '_' | '$') {
            let end = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$' | '.'));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            found.push(Token::Word(word.to_owned()));
            rest = after;
        } else {
            return Err(format!("unexpected {first}"));
        }
        rest = rest.trim_start();
    }
    Ok(found)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at = self.at.saturating_add(1);
        token
    }

    fn word(&mut self, wanted: &str) -> bool {
        let hit =
            matches!(self.tokens.get(self.at), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at = self.at.saturating_add(usize::from(hit));
        hit
    }

    fn sign(&mut self, wanted: &str) -> bool {
        let hit = matches!(self.tokens.get(self.at), Some(Token::Sign(sign)) if *sign == wanted);
        self.at = self.at.saturating_add(usize::from(hit));
        hit
    }

    fn or(&mut self) -> Result<Sql, String> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH {
            return Err("too deeply nested".to_owned());
        }
        let mut left = self.and()?;
        while self.word("OR") {
            left = Sql::Or(Box::new(left), Box::new(self.and()?));
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(left)
    }

    fn and(&mut self) -> Result<Sql, String> {
        let mut left = self.not()?;
        while self.word("AND") {
            left = Sql::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Sql, String> {
        let mut negate = false;
        while self.word("NOT") {
            negate = !negate;
        }
        let inner = if self.sign("(") {
            let inner = self.or()?;
            if !self.sign(")") {
                return Err("expected )".to_owned());
            }
            inner
        } else {
            self.comparison()?
        };
        Ok(if negate { Sql::Not(Box::new(inner)) } else { inner })
    }

    fn comparison(&mut self) -> Result<Sql, String> {
        let left = self.operand()?;
        if self.word("IS") {
            let negate = self.word("NOT");
            if !self.word("NULL") {
                return Err("expected NULL".to_owned());
            }
            let sql = Sql::IsNull(left);
            return Ok(if negate { Sql::Not(Box::new(sql)) } else { sql });
        }
        let negate = self.word("NOT");
        let sql = if self.word("BETWEEN") {
            let low = self.operand()?;
            if !self.word("AND") {
                return Err("expected AND".to_owned());
            }
            Sql::Between(left, low, self.operand()?)
        } else if self.word("IN") {
            Sql::In(left, self.list()?)
        } else if negate {
            return Err("expected BETWEEN or IN".to_owned());
        } else if let Some(relation) = self.relation() {
            Sql::Compare(left, relation, self.operand()?)
        } else {
            Sql::Is(left)
        };
        Ok(if negate { Sql::Not(Box::new(sql)) } else { sql })
    }

    fn relation(&mut self) -> Option<Relation> {
        let relations = [
            ("=", Relation::Equal),
            ("<>", Relation::NotEqual),
            ("!=", Relation::NotEqual),
            ("<=", Relation::LessOrEqual),
            (">=", Relation::GreaterOrEqual),
            ("<", Relation::Less),
            (">", Relation::Greater),
        ];
        let found = relations.into_iter().find(|(sign, _)| self.sign(sign))?;
        Some(found.1)
    }

    fn list(&mut self) -> Result<Vec<Operand>, String> {
        if !self.sign("(") {
            return Err("expected (".to_owned());
        }
        let mut list = vec![self.operand()?];
        while self.sign(",") {
            list.push(self.operand()?);
        }
        if self.sign(")") {
            Ok(list)
        } else {
            Err("expected )".to_owned())
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        match self.next() {
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("TRUE") => Ok(Operand::Truth(true)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("FALSE") => Ok(Operand::Truth(false)),
            Some(Token::Word(word)) => Ok(Operand::Property(word)),
            Some(Token::Number(number)) => Ok(Operand::Number(number)),
            Some(Token::Text(text)) => Ok(Operand::Text(text)),
            Some(Token::Sign(sign)) => Err(format!("unexpected {sign}")),
            None => Err("unexpected end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_hold_as_in_sql() {
        let text = "a\u{1}7\u{2}color\u{1}red\u{2}ok\u{1}true\u{2}";
        for (expression, wanted) in [
            ("a > 5", Some(true)),
            ("a > 5 AND color = 'blue'", Some(false)),
            ("a BETWEEN 1 AND 7 AND color IN ('blue', 'red')", Some(true)),
            ("a NOT BETWEEN 1 AND 7 OR NOT (color <> 'red')", Some(true)),
            ("b IS NULL and color is not null", Some(true)),
            ("b > 1", None),
            ("NOT b > 1", None),
            ("b > 1 OR a <= 7", Some(true)),
            ("ok = TRUE", Some(true)),
            ("a >= -1.5", Some(true)),
        ] {
            assert_eq!(
                Sql::parse(expression).unwrap().holds(text),
                wanted,
                "{expression}"
            );
        }
        for bad in [
            "",
            "a >",
            "a > 5 AND",
            "(a > 5",
            "a ~ 5",
            "a > 'x",
            &"(".repeat(1000),
        ] {
            assert!(Sql::parse(bad).is_err(), "{bad}");
        }
    }
}
