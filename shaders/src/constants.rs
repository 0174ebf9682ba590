//! The values of a shader's `const` lines: just enough arithmetic for tile sizes.

use std::collections::HashMap;

/// Evaluates every `const NAME = expression;` line of `text` whose value is an unsigned integer.
/// Lines of another kind (floats, vectors) are left out.
pub(crate) fn evaluate(text: &str) -> HashMap<&str, u32> {
    let mut values = HashMap::new();
    for line in text.lines() {
        let Some((left, right)) = line.strip_prefix("const ").and_then(|rest| rest.split_once('=')) else {
            continue;
        };
        let name = left.split(':').next().unwrap_or(left).trim();
        let expression = right.split(';').next().unwrap_or(right);
        if let Some(value) = expression_value(expression, &values) {
            values.insert(name, value);
        }
    }
    values
}

/// `expression` over `+ - * /`, parentheses, unsigned literals and known names.
pub(crate) fn expression_value(expression: &str, names: &HashMap<&str, u32>) -> Option<u32> {
    let mut parser = Parser { rest: expression.trim(), names };
    let value = parser.sum()?;
    parser.rest.trim().is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
    names: &'a HashMap<&'a str, u32>,
}

impl Parser<'_> {
    fn sum(&mut self) -> Option<u32> {
        let mut value = self.product()?;
        loop {
            if self.eat('+') {
                value = value.checked_add(self.product()?)?;
            } else if self.eat('-') {
                value = value.checked_sub(self.product()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<u32> {
        let mut value = self.atom()?;
        loop {
            if self.eat('*') {
                value = value.checked_mul(self.atom()?)?;
            } else if self.eat('/') {
                value = value.checked_div(self.atom()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn atom(&mut self) -> Option<u32> {
        if self.eat('(') {
            let value = self.sum()?;
            return self.eat(')').then_some(value);
        }
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.strip_suffix('u').unwrap_or(word).parse().ok().or_else(|| self.names.get(word).copied())
    }

    fn eat(&mut self, symbol: char) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(symbol) else { return false };
        self.rest = rest;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_constants_follow_the_lines_above_them() {
        let text = "const PW: u32 = 7u; // pixels\nconst KW: u32 = 3;\nconst SPAN = (PW - 1) * 2 + KW;\nconst F = 1.5;";
        let values = evaluate(text);
        assert_eq!((values["PW"], values["KW"], values["SPAN"]), (7, 3, 15));
        assert!(!values.contains_key("F"));
    }
}
