// The fast scanner: finds, in a buffer of lines, the frames that are documented, valid PotEvents of one node, and
// copies them behind each other into a target (a ring). Whatever it does not recognise as exactly that, it hands
// back as a "slow" line; the TypeScript reader then judges it. So this file never decides what is *wrong* with a
// frame; it only has to be right about what is good:
//
//   accepted here  =>  accepted by protocol/frame-reader.ts, with the same node id            (tested as a property)
//
// How: simdjson's first stage finds the structural characters of up to SLICE bytes at once, checks UTF-8 and that
// no control character stands in a string. What it leaves to check is done in one walk over the structurals: the
// grammar of JSON, numbers, literals, escapes, nesting, and the fields of PROTOCOL.md section 3.
//
//   line:  {"version":2,"message":{"PotEvent":{"node_id":N,"pot_id":S,"pot_type":S,"event_type":S,"timestamp":T,"data":O}}}
//          key order and white space are free, unknown keys are allowed in all three objects but "message"; "node_id" in the
//          outermost one is known, and left to the reader
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>

#include <simdjson.h>

namespace honeybee {

constexpr uint32_t PADDING = 64;
// Lines are scanned in slices of about this size: their structural indexes (4 bytes each, about one for five bytes)
// then stay in the L2 cache.
constexpr uint32_t SLICE = 32 * 1024;
constexpr uint32_t DEPTH_LIMIT = 1024;
// Where the next number of an event stands behind the node's id, and its most digits.
constexpr uint32_t SEQ_AT = 24, SEQ_DIGITS = 16;

// Why scan() returned; kept in step with native/scanner.ts.
enum Stop : int32_t { DONE = 0, SLOW = 1, FULL = 2 };
// Places in the result array; kept in step with native/scanner.ts.
enum Result { POSITION = 0, COPIED_BYTES = 1, EVENTS = 2, SLOW_START = 3, SLOW_END = 4 };

inline uint64_t load8(const uint8_t *p) {
  uint64_t value;
  memcpy(&value, p, 8);
  return value;
}

// "version\"" and the like as the number that load8 gives, on this machine's byte order.
inline uint64_t word(const char (&text)[9]) { return load8(reinterpret_cast<const uint8_t *>(text)); }

const uint64_t VERSION = word("version\""), MESSAGE = word("message\""), POT_EVENT = word("PotEvent"), NODE_ID = word("node_id\""),
               POT_TYPE = word("pot_type"), EVENT_TYPE = word("event_ty"), TIMESTAMP = word("timestam"), POT_ID = word("pot_id\"\0"),
               DATA = word("data\"\0\0\0"), SEQ = word("seq\"\0\0\0\0"), FOUR = word("\xff\xff\xff\xff\0\0\0\0"), SEVEN = word("\xff\xff\xff\xff\xff\xff\xff\0"),
               FIVE = word("\xff\xff\xff\xff\xff\0\0\0");

struct CharacterClass {
  bool ends_scalar[256] = {};
  CharacterClass() {
    for (const char *c = " \t\r\n,:[]{}"; *c; c++) ends_scalar[uint8_t(*c)] = true;
  }
};

class Scanner {
 public:
  bool init(const uint8_t *source, size_t source_bytes, uint8_t *target, size_t target_bytes, int32_t *result, const uint8_t *node_id,
            uint32_t max_frame, uint32_t max_depth) {
    source_ = source;
    source_bytes_ = uint32_t(source_bytes);
    target_ = target;
    target_bytes_ = uint32_t(target_bytes);
    result_ = result;
    node_id_ = node_id;
    max_frame_ = max_frame;
    max_depth_ = max_depth < DEPTH_LIMIT ? max_depth : DEPTH_LIMIT;
    const simdjson::implementation *const kernel = simdjson::get_active_implementation();
    strings_span_lines_ = kernel->name() == "fallback";
    return kernel->create_dom_parser_implementation(source_bytes, 1, stage_) == simdjson::SUCCESS;
  }

  bool in_range(int32_t start, int32_t end, int32_t target_offset, int32_t target_space) const {
    return start >= 0 && end >= start && uint32_t(end) + PADDING <= source_bytes_ && target_offset >= 0 && target_space >= 0 &&
           uint64_t(target_offset) + uint64_t(target_space) <= target_bytes_;
  }

  // Scans the complete lines of source[start, end). `resume`: goes on where the last call stopped, the bytes are the
  // same. Stops at the first line that is not a plain good event (SLOW), when the next event does not fit the target
  // (FULL), or behind the last newline (DONE).
  int32_t scan(uint32_t start, uint32_t end, uint32_t target_offset, uint32_t target_space, bool resume) {
    target_at_ = target_ + target_offset;
    uint8_t *const target_start = target_at_;
    target_left_ = target_space;
    events_ = 0;
    seq_length_ = node_id_[SEQ_AT] <= SEQ_DIGITS ? node_id_[SEQ_AT] : 0;
    memcpy(seq_, node_id_ + SEQ_AT + 1, SEQ_DIGITS);
    if (!resume) {
      const auto *last = static_cast<const uint8_t *>(memrchr_(source_ + start, '\n', end - start));
      limit_ = last ? uint32_t(last - source_) + 1 : start;
      slice_end_ = start;
      bad_until_ = start;
      backslash_ = start;
      find_backslash(start);
    }
    uint32_t at = start;
    Stop stop = DONE;
    run_start_ = run_end_ = at;
    while (at < limit_) {
      if (at >= slice_end_ && !open_slice(at)) {
        stop = slow_line(at, slice_end_ - 1);
        at = slice_end_;
        break;
      }
      const uint32_t newline = uint32_t(static_cast<const uint8_t *>(memchr(source_ + at, '\n', slice_end_ - at)) - source_);
      const uint32_t relative_end = newline - slice_start_;
      if (*next_ >= relative_end) {  // an empty line
        at = newline + 1;
        continue;
      }
      const uint32_t first = *next_;
      const uint32_t close = event(relative_end);
      if (close == 0 || newline - at > max_frame_ || (backslash_ < newline && !escapes(at, newline))) {
        while (*next_ < relative_end) next_++;
        stop = slow_line(at, newline);
        at = newline + 1;
        break;
      }
      const uint32_t frame_start = slice_start_ + first, frame_end = slice_start_ + close + 1;
      const uint32_t frame_bytes = frame_end - frame_start + 1;
      if (frame_bytes > target_left_) {
        while (next_ > index() && next_[-1] >= first) next_--;
        stop = FULL;
        break;
      }
      target_left_ -= frame_bytes;
      events_++;
      if (seq_length_) next_seq();
      if (frame_start != run_end_) flush(frame_start);
      run_end_ = frame_end;
      if (frame_end == newline) {
        run_end_++;
      } else {  // spaces or a carriage return behind the frame: they are not part of it
        flush(newline + 1);
        *target_at_++ = '\n';
      }
      at = newline + 1;
    }
    flush(at);
    result_[POSITION] = int32_t(at);
    result_[COPIED_BYTES] = int32_t(target_at_ - target_start);
    result_[EVENTS] = int32_t(events_);
    return stop;
  }

 private:
  const uint32_t *index() const { return stage_->structural_indexes.get(); }

  // Copies the run so far and starts the next one at `start`.
  void flush(uint32_t start) {
    const uint32_t bytes = run_end_ - run_start_;
    memcpy(target_at_, source_ + run_start_, bytes);
    target_at_ += bytes;
    run_start_ = run_end_ = start;
  }

  Stop slow_line(uint32_t start, uint32_t end) {
    result_[SLOW_START] = int32_t(start);
    result_[SLOW_END] = int32_t(end);
    return SLOW;
  }

  // Finds the structurals of the lines from `at` on. False: of one line even stage 1 says that it is not JSON.
  bool open_slice(uint32_t at) {
    uint32_t end = limit_;
    if (at < bad_until_) {
      end = line_end(at);
    } else if (limit_ - at > SLICE) {
      const auto *last = static_cast<const uint8_t *>(memrchr_(source_ + at, '\n', SLICE));
      end = last ? uint32_t(last - source_) + 1 : line_end(at);
    }
    if (!stage1(at, end)) {
      // One bad line spoils the slice: take its lines one by one.
      if (end > bad_until_) bad_until_ = end;
      end = line_end(at);
      if (!stage1(at, end)) {
        slice_end_ = end;
        return false;
      }
    }
    slice_start_ = at;
    slice_end_ = end;
    next_ = stage_->structural_indexes.get();
    return true;
  }

  uint32_t line_end(uint32_t at) const {
    return uint32_t(static_cast<const uint8_t *>(memchr(source_ + at, '\n', limit_ - at)) - source_) + 1;
  }

  bool stage1(uint32_t start, uint32_t end) {
    const uint32_t length = end - start;
    const auto error = stage_->stage1(source_ + start, length, simdjson::stage1_mode::regular);
    if (error != simdjson::SUCCESS && error != simdjson::EMPTY) return false;
    if (strings_span_lines_ && escapes_newline(start, end)) return false;
    // Behind the last structural the index goes on with the newline that ends the slice: no token starts with
    // one, so the walk stops there however broken the last line is.
    const uint32_t count = error == simdjson::EMPTY ? 0 : stage_->n_structural_indexes;
    for (uint32_t i = 0; i < 3; i++) stage_->structural_indexes[count + i] = length - 1;
    return true;
  }

  // The kernel for machines without vectors does not look at the byte behind a backslash: with a newline there, a
  // string would go on in the next line.
  bool escapes_newline(uint32_t start, uint32_t end) const {
    for (uint32_t at = start; at < end;) {
      const void *found = memchr(source_ + at, '\\', end - at);
      if (!found) return false;
      at = uint32_t(static_cast<const uint8_t *>(found) - source_) + 1;
      if (source_[at] == '\n') return true;
    }
    return false;
  }

  void find_backslash(uint32_t from) {
    const void *found = from < limit_ ? memchr(source_ + from, '\\', limit_ - from) : nullptr;
    backslash_ = found ? uint32_t(static_cast<const uint8_t *>(found) - source_) : UINT32_MAX;
  }

  // Are all escapes of a line right? Stage 1 and the walk have shown that backslashes stand in strings only.
  bool escapes(uint32_t line, uint32_t end) {
    uint32_t at = backslash_ > line ? backslash_ : line;
    bool good = true;
    while (at < end) {
      if (source_[at] != '\\') {
        const void *found = memchr(source_ + at, '\\', end - at);
        if (!found) break;
        at = uint32_t(static_cast<const uint8_t *>(found) - source_);
      }
      const uint8_t escaped = source_[at + 1];
      at += 2;
      if (escaped == 'u') {
        for (uint32_t i = 0; i < 4; i++) good &= hexadecimal(source_[at + i]);
        at += 4;
      } else {
        good &= escaped == '"' || escaped == '\\' || escaped == '/' || escaped == 'b' || escaped == 'f' || escaped == 'n' ||
                escaped == 'r' || escaped == 't';
      }
      if (!good) break;
    }
    find_backslash(end);
    return good;
  }

  static bool hexadecimal(uint8_t c) { return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }
  static bool digit(uint8_t c) { return uint8_t(c - '0') < 10; }

  bool number(const uint8_t *p) const {
    if (*p == '-') p++;
    if (*p == '0') {
      p++;
    } else {
      if (!digit(*p)) return false;
      while (digit(*p)) p++;
    }
    if (*p == '.') {
      if (!digit(*++p)) return false;
      while (digit(*p)) p++;
    }
    if ((*p | 0x20) == 'e') {
      p++;
      if (*p == '+' || *p == '-') p++;
      if (!digit(*p)) return false;
      while (digit(*p)) p++;
    }
    return class_.ends_scalar[*p];
  }

  bool scalar(const uint8_t *p) const {
    switch (*p) {
      case 't':
        return memcmp(p, "true", 4) == 0 && class_.ends_scalar[p[4]];
      case 'f':
        return memcmp(p, "false", 5) == 0 && class_.ends_scalar[p[5]];
      case 'n':
        return memcmp(p, "null", 4) == 0 && class_.ends_scalar[p[4]];
      default:
        return number(p);
    }
  }

  // Walks the value at k, with everything in it; the place behind it, or null where it breaks the grammar.
  const uint32_t *value(const uint32_t *k, const uint32_t line_end, const uint32_t outer_depth) {
    const uint8_t *const base = source_ + slice_start_;
    uint8_t c = base[*k];
    if (c == '"') return k + 1;
    if (c != '{' && c != '[') return scalar(base + *k) ? k + 1 : nullptr;
    uint32_t depth = outer_depth;
  open:
    if (++depth > max_depth_) return nullptr;
    k++;
    if (c == '{') {
      if (base[*k] == '}') goto close;
      in_object_[depth] = 1;
      goto key;
    }
    if (base[*k] == ']') goto close;
    in_object_[depth] = 0;
    goto element;
  key:
    if (base[k[0]] != '"' || base[k[1]] != ':') return nullptr;
    k += 2;
  element:
    c = base[*k];
    if (c == '{' || c == '[') goto open;
    if (c != '"' && !scalar(base + *k)) return nullptr;
    k++;
  next:
    c = base[*k];
    if (c == ',') {
      // A torn line would go on in the next one; this bounds what that costs.
      if (*k >= line_end) return nullptr;
      k++;
      if (in_object_[depth]) goto key;
      goto element;
    }
    if (c != (in_object_[depth] ? '}' : ']')) return nullptr;
  close:
    k++;
    if (--depth == outer_depth) return k;
    goto next;
  }

  // Walks one line; the offset of the brace that closes it, or 0 where it is not a plain good event. On success
  // next_ stands behind the line.
  uint32_t event(const uint32_t line_end) {
    const uint8_t *const base = source_ + slice_start_;
    const uint32_t *k = next_;
    bool version = false, message = false;
    if (base[*k++] != '{') return 0;
    for (;;) {
      if (base[k[0]] != '"' || base[k[1]] != ':') return 0;
      const uint8_t *key = base + k[0] + 1;
      k += 2;
      const uint64_t head = load8(key);
      if (head == VERSION) {
        const uint8_t *number = base + *k;
        if (version || number[0] != '2' || !class_.ends_scalar[number[1]]) return 0;
        version = true;
        k++;
      } else if (head == MESSAGE) {
        if (message || base[k[0]] != '{' || base[k[1]] != '"' || base[k[2]] != ':') return 0;
        key = base + k[1] + 1;
        if (load8(key) != POT_EVENT || key[8] != '"') return 0;
        k = pot_event(k + 3, line_end);
        if (!k || base[*k++] != '}') return 0;
        message = true;
      } else {
        // Whose the frame is may stand in the envelope, too: the reader compares.
        if (head == NODE_ID || escaped(key)) return 0;
        k = value(k, line_end, 1);
        if (!k) return 0;
      }
      const uint8_t c = base[*k];
      if (c == '}') break;
      if (c != ',' || *k >= line_end) return 0;
      k++;
    }
    const uint32_t close = *k++;
    if (!version || !message || close >= line_end || *k < line_end) return 0;
    next_ = k;
    return close;
  }

  // A key of the protocol may be written with escapes; those lines are rare and go the slow way.
  static bool escaped(const uint8_t *key) {
    while (*key != '"' && *key != '\\') key++;
    return *key == '\\';
  }

  const uint32_t *pot_event(const uint32_t *k, const uint32_t line_end) {
    const uint8_t *const base = source_ + slice_start_;
    unsigned seen = 0, others = 0, bit;
    if (base[*k++] != '{') return nullptr;
    for (;;) {
      if (base[k[0]] != '"' || base[k[1]] != ':') return nullptr;
      const uint8_t *const key = base + k[0] + 1;
      k += 2;
      const uint64_t head = load8(key);
      const uint8_t *const start = base + *k;
      if (head == NODE_ID) {
        bit = 1;
        if (!is_node_id(start)) return nullptr;
        k++;
      } else if ((head & SEVEN) == POT_ID) {
        bit = 2;
        if (*start != '"') return nullptr;
        k++;
      } else if (head == POT_TYPE && key[8] == '"') {
        bit = 4;
        if (*start != '"') return nullptr;
        k++;
      } else if (head == EVENT_TYPE && memcmp(key + 8, "pe\"", 3) == 0) {
        bit = 8;
        if (*start != '"') return nullptr;
        k++;
      } else if (head == TIMESTAMP && memcmp(key + 8, "p\"", 2) == 0) {
        bit = 16;
        if (*start != '"' || !timestamp(start + 1)) return nullptr;
        k++;
      } else if ((head & FIVE) == DATA) {
        bit = 32;
        if (*start != '{') return nullptr;
        k = value(k, line_end, 3);
        if (!k) return nullptr;
      } else if (seq_length_ && (head & FOUR) == SEQ) {
        bit = 64;
        if (!is_next_seq(start)) return nullptr;
        k++;
      } else {
        bit = 0;
        if (escaped(key)) return nullptr;
        // Another message's field is nothing here, but one that stands twice is refused: the reader tells them apart.
        if (other_field(key) && others++ > 0) return nullptr;
        k = value(k, line_end, 3);
        if (!k) return nullptr;
      }
      if (seen & bit) return nullptr;
      seen |= bit;
      const uint8_t c = base[*k];
      if (c == '}') break;
      if (c != ',' || *k >= line_end) return nullptr;
      k++;
    }
    return seen == (seq_length_ ? 127u : 63u) ? k + 1 : nullptr;
  }

  // Is it the key of a field that the protocol knows, but not in a documented event? See protocol/fields.ts.
  static bool other_field(const uint8_t *key) {
    static const char *const names[] = {"node_name\"", "address\"", "port\"",     "node_type\"", "totp_code\"", "status\"",
                                        "message\"",   "event\"",   "metadata\"", "type\"",      "description\""};
    for (const char *name : names) {
      if (memcmp(key, name, strlen(name)) == 0) return true;
    }
    return false;
  }

  // JSON has no leading zeros, so equal ids have equal digits.
  bool is_node_id(const uint8_t *p) const {
    const uint32_t length = node_id_[0];
    return length > 0 && memcmp(p, node_id_ + 1, length) == 0 && class_.ends_scalar[p[length]];
  }

  // The same for the number of the event. One that would be higher than a double counts goes the slow way.
  bool is_next_seq(const uint8_t *p) const {
    return memcmp(p, seq_, seq_length_) == 0 && class_.ends_scalar[p[seq_length_]] &&
           (seq_length_ < SEQ_DIGITS || memcmp(seq_, "9007199254740991", SEQ_DIGITS) <= 0);
  }

  // Counts up the digits of the next number.
  void next_seq() {
    uint32_t i = seq_length_;
    while (i > 0 && seq_[i - 1] == '9') seq_[--i] = '0';
    if (i > 0) {
      seq_[i - 1]++;
    } else if (seq_length_ < SEQ_DIGITS) {
      memmove(seq_ + 1, seq_, seq_length_++);
      seq_[0] = '1';
    }
  }

  static unsigned two(const uint8_t *p) {
    const unsigned tens = unsigned(p[0] - '0'), ones = unsigned(p[1] - '0');
    return tens < 10 && ones < 10 ? tens * 10 + ones : 100;
  }

  // PROTOCOL.md section 3: yyyy-mm-dd, T or a space, hh:mm:ss, fraction of 1 to 9 digits, Z or +hh:mm or +hhmm.
  bool timestamp(const uint8_t *p) {
    if (memcmp(p, date_, 10) != 0) {
      const unsigned century = two(p), year = two(p + 2), month = two(p + 5), day = two(p + 8);
      static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
      if (century > 99 || year > 99 || p[4] != '-' || month < 1 || month > 12 || p[7] != '-' || day < 1) return false;
      const unsigned full = century * 100 + year;
      const bool leap = full % 4 == 0 && (full % 100 != 0 || full % 400 == 0);
      if (day > unsigned(days[month - 1] + (month == 2 && leap ? 1 : 0))) return false;
      memcpy(date_, p, 10);  // the next event is most likely of the same day
    }
    if ((p[10] != 'T' && p[10] != ' ') || two(p + 11) > 23 || p[13] != ':' || two(p + 14) > 59 || p[16] != ':' || two(p + 17) > 60) {
      return false;
    }
    p += 19;
    if (*p == '.') {
      const uint8_t *const fraction = ++p;
      while (digit(*p)) p++;
      if (p == fraction || p - fraction > 9) return false;
    }
    if (*p == 'Z') {
      p++;
    } else if (*p == '+' || *p == '-') {
      if (two(p + 1) > 23) return false;
      p += p[3] == ':' ? 4 : 3;
      if (two(p) > 59) return false;
      p += 2;
    }
    return *p == '"';
  }

  static const void *memrchr_(const uint8_t *p, int c, size_t n) {
#ifdef __GLIBC__
    return memrchr(p, c, n);
#endif
    while (n > 0) {
      if (p[--n] == c) return p + n;
    }
    return nullptr;
  }

  std::unique_ptr<simdjson::internal::dom_parser_implementation> stage_;
  const uint8_t *source_ = nullptr;
  uint32_t source_bytes_ = 0;
  uint8_t *target_ = nullptr;
  uint32_t target_bytes_ = 0;
  int32_t *result_ = nullptr;
  const uint8_t *node_id_ = nullptr;
  uint32_t max_frame_ = 0;
  uint32_t max_depth_ = 0;
  bool strings_span_lines_ = false;
  // Of the region being scanned: its last newline + 1, the slice whose structurals are known, the end of what is
  // taken line by line after a bad line, the next backslash.
  uint32_t limit_ = 0, slice_start_ = 0, slice_end_ = 0, bad_until_ = 0, backslash_ = UINT32_MAX;
  const uint32_t *next_ = nullptr;
  uint8_t *target_at_ = nullptr;
  uint32_t target_left_ = 0, run_start_ = 0, run_end_ = 0, events_ = 0;
  uint8_t date_[10] = {};
  uint8_t seq_[SEQ_DIGITS] = {};
  uint32_t seq_length_ = 0;
  uint8_t in_object_[DEPTH_LIMIT + 1] = {};
  CharacterClass class_;
};

}  // namespace honeybee
