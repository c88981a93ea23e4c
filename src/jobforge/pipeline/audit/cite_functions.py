"""What may stand before a parenthesis in a condition, so that it judges one row at a time.

Polars SQL has functions that look at other rows and whose names nobody would
guess it of (`row_number()`, `first(n)`), and later versions may have more. So those
that do not are listed, and everything else is refused.
"""

from __future__ import annotations

ROW_BY_ROW = frozenset({
    "ABS", "ACOS", "ACOSD", "ASIN", "ASIND", "ATAN", "ATAN2", "ATAN2D", "ATAND", "CBRT", "CEIL",
    "CEILING", "COS", "COSD", "COT", "COTD", "DEGREES", "DIV", "EXP", "FLOOR", "LN", "LOG",
    "LOG10", "LOG1P", "LOG2", "MOD", "PI", "POW", "POWER", "RADIANS", "ROUND", "SIGN", "SIN",
    "SIND", "SQRT", "TAN", "TAND", "BIT_AND", "BIT_COUNT", "BIT_NOT", "BIT_OR", "BIT_XOR",
    "BIT_LENGTH", "CHARACTER_LENGTH", "CHAR_LENGTH", "CONCAT", "CONCAT_WS", "ENDS_WITH",
    "INITCAP", "LEFT", "LENGTH", "LOWER", "LTRIM", "NORMALIZE", "OCTET_LENGTH", "POSITION",
    "REGEXP_LIKE", "REPLACE", "REVERSE", "RIGHT", "RTRIM", "SPLIT_PART", "STARTS_WITH", "STRPOS",
    "SUBSTR", "SUBSTRING", "TRIM", "UPPER", "DATE", "DATETIME", "DATE_PART", "EXTRACT",
    "STRFTIME", "STRPTIME", "TIME", "TIMESTAMP", "COALESCE", "GREATEST", "IF", "IFNULL", "LEAST",
    "NULLIF", "ARRAY_CONTAINS", "ARRAY_GET", "ARRAY_LENGTH", "ARRAY_SUM", "ARRAY_TO_STRING",
    "STRING_TO_ARRAY", "CAST",
})  # fmt: skip
"""Functions whose value for a row is made of that row alone.

`TRY_CAST` is none of them: of a text it makes the date that another row's text has the form of,
else null; `CAST` fails there, and says so.
"""
BETWEEN_PARTS = frozenset({
    "AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "ILIKE", "RLIKE", "REGEXP", "CASE", "WHEN",
    "THEN", "ELSE", "FROM", "FOR",
})  # fmt: skip
"""Words that stand before a parenthesis and are no functions. `ANY` and `ALL` look at a column."""
SIZED_TYPES = frozenset({
    "CHAR", "CHARACTER", "DEC", "DECIMAL", "FLOAT", "NUMERIC", "TIME", "TIMESTAMP", "VARCHAR",
})  # fmt: skip
"""Types that have a size in parentheses: behind AS or `::` they are no functions."""
AGGREGATES = frozenset({
    "SUM", "TOTAL", "AVG", "MEAN", "MIN", "MAX", "COUNT", "MEDIAN", "STDDEV", "STDDEV_SAMP",
    "STDEV", "STDEV_SAMP", "VARIANCE", "VAR", "VAR_SAMP", "FIRST", "LAST", "FIRST_VALUE",
    "LAST_VALUE", "ARRAY_AGG", "STRING_AGG", "LISTAGG", "QUANTILE_CONT", "QUANTILE_DISC", "CORR",
    "COVAR", "COVAR_SAMP", "COVAR_POP",
})  # fmt: skip
"""Those of the others that are said to be aggregates; what is refused does not hang on it."""
NEVER_WRAP = frozenset({
    "CAST", "TRY_CAST", "COUNT", "MIN", "MAX", "FIRST", "LAST", "FIRST_VALUE", "LAST_VALUE",
    "COALESCE", "GREATEST", "IF", "IFNULL", "LEAST", "NULLIF", "ARRAY_GET", "ARRAY_LENGTH",
    "BIT_AND", "BIT_COUNT", "BIT_LENGTH", "BIT_NOT", "BIT_OR", "BIT_XOR", "CHARACTER_LENGTH",
    "CHAR_LENGTH", "DATE_PART", "DIV", "EXTRACT", "LENGTH", "MOD", "OCTET_LENGTH", "POSITION",
    "SIGN", "STRPOS", "DAY", "HOUR", "MINUTE", "MONTH", "QUARTER", "SECOND", "WEEK", "YEAR",
})  # fmt: skip
"""Functions whose whole number is right, or that fail: it can be widened behind them."""
