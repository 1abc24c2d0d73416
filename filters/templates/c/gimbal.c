/* How gimbal.h is done: the canonical ABI by hand. Nothing in here needs to be changed for a filter. */
#include "gimbal.h"

/* ---- memory: a stack of texts, which a call leaves as it found it ------------------------------------------------- */

extern char __heap_base;
static uintptr_t top;
static uintptr_t kept; /* what `gimbal_init` made stays below it */

GIMBAL_EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_length, size_t align, size_t length) {
    if (top == 0) top = (uintptr_t)&__heap_base;
    uintptr_t start = (top + align - 1) & ~(align - 1);
    uintptr_t end = start + length;
    uintptr_t size = __builtin_wasm_memory_size(0) << 16;
    if (end < start) __builtin_trap();
    if (end > size && __builtin_wasm_memory_grow(0, ((end - size) + 0xffff) >> 16) == SIZE_MAX) __builtin_trap();
    top = end;
    if (old) __builtin_memcpy((void *)start, old, old_length < length ? old_length : length);
    return (void *)start;
}

void gimbal_rewind(void) { top = kept; }

static void *made(size_t length) { return cabi_realloc(NULL, 0, 8, length); }

/* There is no library; the compiler calls these all the same. */
void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    char *t = to;
    const char *f = from;
    for (size_t i = 0; i < length; i++) t[i] = f[i];
    return to;
}
void *memset(void *to, int byte, size_t length) {
    char *t = to;
    for (size_t i = 0; i < length; i++) t[i] = (char)byte;
    return to;
}

/* ---- texts --------------------------------------------------------------------------------------------------------- */

text gimbal_why;

bool starts_with(text t, text prefix) {
    if (t.length < prefix.length) return false;
    for (size_t i = 0; i < prefix.length; i++) {
        if (t.at[i] != prefix.at[i]) return false;
    }
    return true;
}

bool equals(text a, text b) { return a.length == b.length && starts_with(a, b); }

bool fits(text pattern, text t) {
    size_t p = 0, i = 0, star = SIZE_MAX, from = 0;
    while (i < t.length) {
        if (p < pattern.length && pattern.at[p] == '*') {
            star = p++;
            from = i;
        } else if (p < pattern.length && (pattern.at[p] == '?' || pattern.at[p] == t.at[i])) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.length && pattern.at[p] == '*') p++;
    return p == pattern.length;
}

text joined(text a, text b) {
    char *both = made(a.length + b.length);
    memcpy(both, a.at, a.length);
    memcpy(both + a.length, b.at, b.length);
    return (text){both, a.length + b.length};
}

text decimal(int64_t number) {
    char *digits = made(20), *at = digits + 20;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0) *--at = '-';
    return (text){at, (size_t)(digits + 20 - at)};
}

/* ---- the configuration: JSON that the host wrote, so it is well-formed ----------------------------------------------- */

static size_t blanks(text t, size_t i) {
    while (i < t.length && (t.at[i] == ' ' || t.at[i] == '\n' || t.at[i] == '\t' || t.at[i] == '\r')) i++;
    return i;
}

/* Behind the value that begins at `i`. */
static size_t skip(text t, size_t i) {
    size_t depth = 0;
    bool quoted = false;
    for (; i < t.length; i++) {
        char c = t.at[i];
        if (quoted) {
            if (c == '\\') i++;
            else if (c == '"') quoted = false;
        } else if (c == '"') quoted = true;
        else if (c == '{' || c == '[') depth++;
        else if (c == '}' || c == ']') {
            if (depth == 0) return i;
            depth--;
        } else if (c == ',' && depth == 0) return i;
        else if (c == ':' && depth == 0) return i;
    }
    return i;
}

static text part(text t, size_t from, size_t to) {
    while (to > from && (t.at[to - 1] == ' ' || t.at[to - 1] == '\n')) to--;
    return (text){t.at + from, to - from};
}

static uint32_t hex(text t, size_t i) {
    uint32_t value = 0;
    for (size_t end = i + 4; i < end && i < t.length; i++) {
        char c = t.at[i];
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return value;
}

/* The text that a JSON string stands for; one that is not there if it is none. */
static text unquoted(text t) {
    if (t.length < 2 || t.at[0] != '"') return (text){0};
    char *out = made(t.length);
    size_t n = 0;
    for (size_t i = 1; i + 1 < t.length; i++) {
        char c = t.at[i];
        if (c != '\\') {
            out[n++] = c;
            continue;
        }
        c = t.at[++i];
        if (c == 'u') {
            uint32_t u = hex(t, i + 1);
            i += 4;
            if (u >= 0xd800 && u < 0xdc00 && i + 6 < t.length) {
                u = 0x10000 + ((u - 0xd800) << 10) + (hex(t, i + 3) - 0xdc00);
                i += 6;
            }
            if (u >= 0x10000) {
                out[n++] = (char)(0xf0 | u >> 18);
                out[n++] = (char)(0x80 | (u >> 12 & 63));
            } else if (u >= 0x800) out[n++] = (char)(0xe0 | u >> 12);
            if (u >= 0x800) out[n++] = (char)(0x80 | (u >> 6 & 63));
            else if (u >= 0x80) out[n++] = (char)(0xc0 | u >> 6);
            out[n++] = (char)(u >= 0x80 ? 0x80 | (u & 63) : u);
        } else out[n++] = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
    }
    return (text){out, n};
}

/* The JSON of what an object has under a key. */
static text member(text object, text key) {
    size_t i = blanks(object, 0);
    if (i >= object.length || object.at[i] != '{') return (text){0};
    for (i++; i < object.length; i++) {
        i = blanks(object, i);
        size_t colon = skip(object, i);
        if (colon >= object.length || object.at[colon] != ':') break;
        size_t from = blanks(object, colon + 1), to = skip(object, from);
        if (equals(unquoted(part(object, i, colon)), key)) return part(object, from, to);
        i = to;
    }
    return (text){0};
}

/* One element of a list, and how many there are before it if there are fewer. */
static text element(text list, size_t index, size_t *count) {
    *count = 0;
    if (list.length < 2 || list.at[0] != '[') return (text){0};
    for (size_t i = blanks(list, 1); i < list.length && list.at[i] != ']'; i = blanks(list, i)) {
        size_t to = skip(list, i);
        if ((*count)++ == index) return part(list, i, to);
        i = to + (to < list.length && list.at[to] == ',');
    }
    return (text){0};
}

text config_text(text config, text key, text otherwise) {
    text value = unquoted(member(config, key));
    return is_there(value) ? value : otherwise;
}

bool config_bool(text config, text key, bool otherwise) {
    text value = member(config, key);
    return equals(value, T("true")) || (otherwise && !equals(value, T("false")));
}

double config_number(text config, text key, double otherwise) {
    text t = member(config, key);
    size_t i = 0;
    bool negative = t.length && t.at[0] == '-';
    if (negative) i++;
    if (i >= t.length || t.at[i] < '0' || t.at[i] > '9') return otherwise;
    double value = 0;
    int exponent = 0;
    for (; i < t.length && t.at[i] >= '0' && t.at[i] <= '9'; i++) value = value * 10 + (t.at[i] - '0');
    if (i < t.length && t.at[i] == '.') {
        for (i++; i < t.length && t.at[i] >= '0' && t.at[i] <= '9'; i++, exponent--) value = value * 10 + (t.at[i] - '0');
    }
    if (i < t.length && (t.at[i] | 32) == 'e') {
        int sign = 1, digits = 0;
        i++;
        if (i < t.length && (t.at[i] == '-' || t.at[i] == '+')) sign = t.at[i++] == '-' ? -1 : 1;
        for (; i < t.length && digits < 400; i++) digits = digits * 10 + (t.at[i] - '0');
        exponent += sign * digits;
    }
    for (; exponent > 0; exponent--) value *= 10;
    for (; exponent < 0; exponent++) value /= 10;
    return negative ? -value : value;
}

size_t config_count(text config, text key) {
    size_t count;
    element(member(config, key), SIZE_MAX, &count);
    return count;
}

text config_at(text config, text key, size_t index) {
    size_t count;
    return unquoted(element(member(config, key), index, &count));
}

/* ---- interests and verdicts as the host reads them ------------------------------------------------------------------ */

typedef struct {
    const int32_t *codes;
    size_t code_count;
    uint8_t phase; /* 0 request, 1 response */
    const text *topics;
    size_t topic_count;
    const text *groups;
    size_t group_count;
    bool needs_body;
} interest;

enum { MOST = 64 };
static int32_t codes[2][MOST];
static size_t code_counts[2];
static bool wanted[2];
static text topics[MOST];
static size_t topic_count;
static bool needs_body;

static void want(int phase, int32_t code) {
    wanted[phase] = true;
    if (code == 0) return;
    if (code_counts[phase] == MOST) fail(T("a filter in C may want 64 codes"));
    codes[phase][code_counts[phase]++] = code;
}

void want_requests(int32_t code) { want(0, code); }
void want_responses(int32_t code) { want(1, code); }
void want_sends(void) {
    static const int32_t sends[] = {SEND_MESSAGE, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE, SEND_REPLY_MESSAGE,
                                    SEND_REPLY_MESSAGE_V2};
    for (size_t i = 0; i < sizeof sends / sizeof *sends; i++) want(0, sends[i]);
}
void want_topic(text pattern) {
    if (topic_count == MOST) fail(T("a filter in C may want 64 patterns of topics"));
    topics[topic_count++] = pattern;
}
void want_body(void) { needs_body = true; }

typedef struct {
    uint8_t tag;
    union {
        struct {
            const interest *at;
            size_t count;
        } interests;
        text why;
    };
} began;

GIMBAL_EXPORT("gimbal:filter/lifecycle@0.1.0#init") began *gimbal_lifecycle_init(const char *config, size_t length) {
    static interest interests[2];
    static began result;
    text why = gimbal_init((text){config, length});
    kept = top;
    if (is_there(why)) {
        result = (began){.tag = 1, .why = why};
        return &result;
    }
    size_t count = 0;
    for (uint8_t phase = 0; phase < 2; phase++) {
        if (!wanted[phase]) continue;
        interests[count++] = (interest){codes[phase], code_counts[phase], phase, topics, topic_count, NULL, 0, needs_body};
    }
    result = (began){.tag = 0, .interests = {interests, count}};
    return &result;
}

typedef struct {
    uint8_t tag;
    union {
        struct {
            int32_t code;
            gimbal_optional remark;
            text fields; /* empty lists */
            text body;
        } answer;
        uint32_t milliseconds;
        text why;
    };
} lowered;

void *gimbal_lower(verdict v) {
    static lowered result;
    result = (lowered){.tag = v.kind};
    if (v.kind == 1) {
        result.answer.code = v.number;
        result.answer.remark = (gimbal_optional){is_there(v.words), v.words};
    } else if (v.kind == 2) result.milliseconds = (uint32_t)v.number;
    else if (v.kind == 4) result.why = v.words;
    return &result;
}
