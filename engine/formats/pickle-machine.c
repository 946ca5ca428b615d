/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pickle-machine.c - the stack machine: opcodes, stack, marks and memo. An
 * opcode that is not handled in step() is refused.
 */
#include "pickle-private.h"

#include "file.h"

#include <string.h>

/* The opcodes of protocols 0 to 5, for messages as much as for the machine. */
enum {
  OP_MARK = '(',
  OP_STOP = '.',
  OP_POP = '0',
  OP_POP_MARK = '1',
  OP_DUP = '2',
  OP_BINBYTES = 'B',
  OP_SHORT_BINBYTES = 'C',
  OP_FLOAT = 'F',
  OP_BINFLOAT = 'G',
  OP_INT = 'I',
  OP_BININT = 'J',
  OP_BININT1 = 'K',
  OP_LONG = 'L',
  OP_BININT2 = 'M',
  OP_NONE = 'N',
  OP_PERSID = 'P',
  OP_BINPERSID = 'Q',
  OP_REDUCE = 'R',
  OP_STRING = 'S',
  OP_BINSTRING = 'T',
  OP_SHORT_BINSTRING = 'U',
  OP_UNICODE = 'V',
  OP_BINUNICODE = 'X',
  OP_EMPTY_LIST = ']',
  OP_APPEND = 'a',
  OP_BUILD = 'b',
  OP_GLOBAL = 'c',
  OP_DICT = 'd',
  OP_APPENDS = 'e',
  OP_GET = 'g',
  OP_BINGET = 'h',
  OP_INST = 'i',
  OP_LONG_BINGET = 'j',
  OP_LIST = 'l',
  OP_OBJ = 'o',
  OP_PUT = 'p',
  OP_BINPUT = 'q',
  OP_LONG_BINPUT = 'r',
  OP_SETITEM = 's',
  OP_TUPLE = 't',
  OP_SETITEMS = 'u',
  OP_EMPTY_DICT = '}',
  OP_EMPTY_TUPLE = ')',
  OP_PROTO = 0x80,
  OP_NEWOBJ,
  OP_EXT1,
  OP_EXT2,
  OP_EXT4,
  OP_TUPLE1,
  OP_TUPLE2,
  OP_TUPLE3,
  OP_NEWTRUE,
  OP_NEWFALSE,
  OP_LONG1,
  OP_LONG4,
  OP_SHORT_BINUNICODE,
  OP_BINUNICODE8,
  OP_BINBYTES8,
  OP_EMPTY_SET,
  OP_ADDITEMS,
  OP_FROZENSET,
  OP_NEWOBJ_EX,
  OP_STACK_GLOBAL,
  OP_MEMOIZE,
  OP_FRAME,
  OP_BYTEARRAY8,
  OP_NEXT_BUFFER,
  OP_READONLY_BUFFER,
};
G_STATIC_ASSERT (OP_READONLY_BUFFER == 0x98);

/* Those that pickles of torch.save() have no use for. */
static const struct {
  guint8 opcode;
  const gchar *name;
} refused[] = {
  { OP_FLOAT, "FLOAT" },
  { OP_INT, "INT" },
  { OP_LONG, "LONG" },
  { OP_PERSID, "PERSID" },
  { OP_STRING, "STRING" },
  { OP_UNICODE, "UNICODE" },
  { OP_DICT, "DICT" },
  { OP_GET, "GET" },
  { OP_INST, "INST (an object of any class)" },
  { OP_LIST, "LIST" },
  { OP_OBJ, "OBJ (an object of any class)" },
  { OP_PUT, "PUT" },
  { OP_EXT1, "EXT1" },
  { OP_EXT2, "EXT2" },
  { OP_EXT4, "EXT4" },
  { OP_LONG4, "LONG4" },
  { OP_FROZENSET, "FROZENSET" },
  { OP_NEWOBJ_EX, "NEWOBJ_EX (an object of any class)" },
  { OP_BYTEARRAY8, "BYTEARRAY8" },
  { OP_NEXT_BUFFER, "NEXT_BUFFER" },
  { OP_READONLY_BUFFER, "READONLY_BUFFER" },
};

/* Values without content, shared by all pickles. */
static DeimPickleValue none = { .kind = DEIM_PICKLE_NONE };
static DeimPickleValue yes = { .kind = DEIM_PICKLE_BOOL, .integer = TRUE };
static DeimPickleValue no = { .kind = DEIM_PICKLE_BOOL, .integer = FALSE };
static DeimPickleValue real = { .kind = DEIM_PICKLE_FLOAT };

/* ------------------------------------------------------------ stack and memo */

static guint
floor_of_stack (DeimPickle *pickle)
{
  return pickle->marks->len > 0 ? g_array_index (pickle->marks, guint, pickle->marks->len - 1) : 0;
}

/* Whether @n values lie above the last mark. */
static gboolean
need (DeimPickle *pickle, guint n)
{
  if (pickle->stack->len - floor_of_stack (pickle) >= n)
    return TRUE;
  return deim_pickle_fail (pickle, "it takes more from the stack than it put there: " DEIM_FILE_DAMAGED);
}

/* The @depth-th value from the top, which need() has checked. */
static DeimPickleValue *
peek (DeimPickle *pickle, guint depth)
{
  return g_ptr_array_index (pickle->stack, pickle->stack->len - 1 - depth);
}

static void
drop (DeimPickle *pickle, guint n)
{
  g_ptr_array_set_size (pickle->stack, (gint) (pickle->stack->len - n));
}

static gboolean
push (DeimPickle *pickle, DeimPickleValue *value)
{
  if (!value)
    return FALSE;
  g_ptr_array_add (pickle->stack, value);
  return TRUE;
}

/* Drops the last mark. @ret_n: the values above it, which stay on the stack. */
static gboolean
pop_mark (DeimPickle *pickle, guint *ret_n)
{
  if (pickle->marks->len == 0)
    return deim_pickle_fail (pickle, "it looks for a mark that it never set: " DEIM_FILE_DAMAGED);
  *ret_n = pickle->stack->len - floor_of_stack (pickle);
  g_array_set_size (pickle->marks, pickle->marks->len - 1);
  return TRUE;
}

/* The @n topmost values, the lowest first. */
static gpointer *
top (DeimPickle *pickle, guint n)
{
  return n > 0 ? &pickle->stack->pdata[pickle->stack->len - n] : NULL;
}

/* Takes the @n topmost values as a tuple. */
static gboolean
make_tuple (DeimPickle *pickle, guint n)
{
  DeimPickleValue *tuple = deim_pickle_new_value (pickle, DEIM_PICKLE_TUPLE);
  if (!tuple || !deim_pickle_list_append (pickle, tuple, top (pickle, n), n))
    return FALSE;
  drop (pickle, n);
  return push (pickle, tuple);
}

/* Takes the @n topmost values into the container below them: a list, or with @is_dict keys and values. */
static gboolean
add_items (DeimPickle *pickle, guint n, gboolean is_dict)
{
  if (!need (pickle, n + 1))
    return FALSE;
  DeimPickleValue *container = peek (pickle, n);
  if (container->kind != (is_dict ? DEIM_PICKLE_DICT : DEIM_PICKLE_LIST))
    return deim_pickle_fail (pickle, "it adds items to something that is no %s", is_dict ? "dict" : "list");
  if (is_dict && n % 2 != 0)
    return deim_pickle_fail (pickle, "it adds a key without a value to a dict");
  if (!deim_pickle_list_append (pickle, container, top (pickle, n), n))
    return FALSE;
  drop (pickle, n);
  return TRUE;
}

/* Pickles number their memo from 0 or 1 up; one entry takes two bytes. */
static gboolean
put_memo (DeimPickle *pickle, gsize index)
{
  if (!need (pickle, 1))
    return FALSE;
  if (index > pickle->at)
    return deim_pickle_fail (pickle, "memo entry %zu in a pickle that cannot have so many by now", index);
  if (index >= pickle->memo->len)
    g_ptr_array_set_size (pickle->memo, (gint) index + 1);
  g_ptr_array_index (pickle->memo, index) = peek (pickle, 0);
  return TRUE;
}

static gboolean
get_memo (DeimPickle *pickle, gsize index)
{
  if (index >= pickle->memo->len || !g_ptr_array_index (pickle->memo, index))
    return deim_pickle_fail (pickle, "memo entry %zu, which it never stored: " DEIM_FILE_DAMAGED, index);
  return push (pickle, g_ptr_array_index (pickle->memo, index));
}

/* ------------------------------------------------------------------- opcodes */

/* The next @n bytes, or NULL. */
static const guint8 *
take (DeimPickle *pickle, guint64 n)
{
  if (n > pickle->size - pickle->at) {
    deim_pickle_fail (pickle, "%" G_GUINT64_FORMAT " bytes are wanted, %zu are left: " DEIM_FILE_DAMAGED, n,
                      pickle->size - pickle->at);
    return NULL;
  }
  const guint8 *bytes = pickle->data + pickle->at;
  pickle->at += (gsize) n;
  return bytes;
}

/* An unsigned little-endian number of @n <= 8 bytes. */
static gboolean
take_number (DeimPickle *pickle, guint n, guint64 *ret_number)
{
  const guint8 *bytes = take (pickle, n);
  if (!bytes)
    return FALSE;
  guint64 number = 0;
  for (guint i = 0; i < n; i++)
    number |= (guint64) bytes[i] << (8 * i);
  *ret_number = number;
  return TRUE;
}

static gboolean
push_integer (DeimPickle *pickle, gint64 integer)
{
  DeimPickleValue *value = deim_pickle_new_value (pickle, DEIM_PICKLE_INT);
  if (value)
    value->integer = integer;
  return push (pickle, value);
}

/* Two's complement, little endian. */
static gboolean
push_long (DeimPickle *pickle, const guint8 *bytes, gsize n)
{
  if (n <= 8) {
    guint64 number = n > 0 && bytes[n - 1] & 0x80 ? ~G_GUINT64_CONSTANT (0) : 0;
    for (gsize i = n; i-- > 0;)
      number = number << 8 | bytes[i];
    return push_integer (pickle, (gint64) number);
  }
  DeimPickleValue *value = deim_pickle_new_value (pickle, DEIM_PICKLE_LONG);
  if (value) {
    value->bytes.data = bytes;
    value->bytes.size = n;
  }
  return push (pickle, value);
}

/* A string or bytes whose length is written in @length_size bytes. Python 2 wrote both as BINSTRING: text if it is. */
static gboolean
push_bytes (DeimPickle *pickle, DeimPickleKind kind, guint length_size, gboolean either)
{
  guint64 length;
  const guint8 *bytes;
  if (!take_number (pickle, length_size, &length) || !(bytes = take (pickle, length)))
    return FALSE;
  if (kind == DEIM_PICKLE_STRING && !g_utf8_validate ((const gchar *) bytes, (gssize) length, NULL)) {
    if (!either)
      return deim_pickle_fail (pickle, "a string that is not UTF-8");
    kind = DEIM_PICKLE_BYTES;
  }
  DeimPickleValue *value = deim_pickle_new_value (pickle, kind);
  if (value) {
    value->bytes.data = bytes;
    value->bytes.size = (gsize) length;
  }
  return push (pickle, value);
}

static gboolean
push_global (DeimPickle *pickle, const gchar *module, gsize module_length, const gchar *name, gsize name_length)
{
  const DeimPickleGlobal *global = deim_pickle_global (pickle, module, module_length, name, name_length);
  if (!global)
    return FALSE;
  DeimPickleValue *value = deim_pickle_new_value (pickle, DEIM_PICKLE_GLOBAL);
  if (value)
    value->global = global;
  return push (pickle, value);
}

/* GLOBAL: "module\nname\n" in the stream. */
static gboolean
read_global (DeimPickle *pickle)
{
  const gchar *lines[2];
  gsize lengths[2];
  for (guint i = 0; i < 2; i++) {
    lines[i] = (const gchar *) pickle->data + pickle->at;
    const gchar *end = memchr (lines[i], '\n', pickle->size - pickle->at);
    if (!end)
      return deim_pickle_fail (pickle, "it ends in the name of a global: " DEIM_FILE_DAMAGED);
    lengths[i] = (gsize) (end - lines[i]);
    pickle->at += lengths[i] + 1;
  }
  return push_global (pickle, lines[0], lengths[0], lines[1], lengths[1]);
}

static gboolean
read_stack_global (DeimPickle *pickle)
{
  if (!need (pickle, 2))
    return FALSE;
  const DeimPickleValue *module = peek (pickle, 1), *name = peek (pickle, 0);
  if (module->kind != DEIM_PICKLE_STRING || name->kind != DEIM_PICKLE_STRING)
    return deim_pickle_fail (pickle, "a global whose name is not text");
  drop (pickle, 2);
  return push_global (pickle, (const gchar *) module->bytes.data, module->bytes.size, (const gchar *) name->bytes.data,
                      name->bytes.size);
}

static gboolean
call (DeimPickle *pickle)
{
  if (!need (pickle, 2))
    return FALSE;
  DeimPickleValue *result = deim_pickle_call (pickle, peek (pickle, 1), peek (pickle, 0));
  drop (pickle, 2);
  return push (pickle, result);
}

/* BUILD sets attributes, of which none matters here: OrderedDict._metadata of a state dict, and those of objects. */
static gboolean
build (DeimPickle *pickle)
{
  if (!need (pickle, 2))
    return FALSE;
  DeimPickleKind kind = peek (pickle, 1)->kind;
  if (kind != DEIM_PICKLE_DICT && kind != DEIM_PICKLE_OPAQUE)
    return deim_pickle_fail (pickle, "it sets attributes on something that has none");
  drop (pickle, 1);
  return TRUE;
}

static gboolean
persistent (DeimPickle *pickle)
{
  if (!need (pickle, 1))
    return FALSE;
  DeimPickleValue *result = deim_pickle_persistent (pickle, peek (pickle, 0));
  drop (pickle, 1);
  return push (pickle, result);
}

static gboolean
refuse_opcode (DeimPickle *pickle, guint8 opcode)
{
  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    if (refused[i].opcode == opcode)
      return deim_pickle_fail (pickle,
                               "the opcode %s is not one that torch.save() writes; save the state_dict() with "
                               "torch.save() or as safetensors",
                               refused[i].name);
  return deim_pickle_fail (pickle, "0x%02x is no opcode: " DEIM_FILE_DAMAGED, opcode);
}

/* One opcode but STOP. */
static gboolean
step (DeimPickle *pickle, guint8 opcode)
{
  guint64 number;
  guint n;
  const guint8 *bytes;
  switch (opcode) {
  case OP_PROTO:
    if (!take_number (pickle, 1, &number))
      return FALSE;
    if (number > 5)
      return deim_pickle_fail (pickle, "protocol %u is not known here", (guint) number);
    return TRUE;
  case OP_FRAME:
    if (!take_number (pickle, 8, &number))
      return FALSE;
    if (number > pickle->size - pickle->at)
      return deim_pickle_fail (pickle, "a frame is longer than the rest of it: " DEIM_FILE_DAMAGED);
    return TRUE;

  case OP_MARK:
    g_array_append_val (pickle->marks, pickle->stack->len);
    return TRUE;
  case OP_POP:
    if (pickle->marks->len > 0 && pickle->stack->len == floor_of_stack (pickle))
      return pop_mark (pickle, &n);
    if (!need (pickle, 1))
      return FALSE;
    drop (pickle, 1);
    return TRUE;
  case OP_POP_MARK:
    if (!pop_mark (pickle, &n))
      return FALSE;
    drop (pickle, n);
    return TRUE;
  case OP_DUP:
    return need (pickle, 1) && push (pickle, peek (pickle, 0));

  case OP_NONE:
    return push (pickle, &none);
  case OP_NEWTRUE:
    return push (pickle, &yes);
  case OP_NEWFALSE:
    return push (pickle, &no);
  case OP_BINFLOAT:
    return take (pickle, 8) && push (pickle, &real);
  case OP_BININT:
    return take_number (pickle, 4, &number) && push_integer (pickle, (gint32) (guint32) number);
  case OP_BININT1:
    return take_number (pickle, 1, &number) && push_integer (pickle, (gint64) number);
  case OP_BININT2:
    return take_number (pickle, 2, &number) && push_integer (pickle, (gint64) number);
  case OP_LONG1:
    return take_number (pickle, 1, &number) && (bytes = take (pickle, number)) != NULL &&
           push_long (pickle, bytes, (gsize) number);

  case OP_SHORT_BINUNICODE:
    return push_bytes (pickle, DEIM_PICKLE_STRING, 1, FALSE);
  case OP_BINUNICODE:
    return push_bytes (pickle, DEIM_PICKLE_STRING, 4, FALSE);
  case OP_BINUNICODE8:
    return push_bytes (pickle, DEIM_PICKLE_STRING, 8, FALSE);
  case OP_SHORT_BINSTRING:
    return push_bytes (pickle, DEIM_PICKLE_STRING, 1, TRUE);
  case OP_BINSTRING:
    return push_bytes (pickle, DEIM_PICKLE_STRING, 4, TRUE);
  case OP_SHORT_BINBYTES:
    return push_bytes (pickle, DEIM_PICKLE_BYTES, 1, FALSE);
  case OP_BINBYTES:
    return push_bytes (pickle, DEIM_PICKLE_BYTES, 4, FALSE);
  case OP_BINBYTES8:
    return push_bytes (pickle, DEIM_PICKLE_BYTES, 8, FALSE);

  case OP_EMPTY_TUPLE:
    return make_tuple (pickle, 0);
  case OP_TUPLE1:
  case OP_TUPLE2:
  case OP_TUPLE3:
    n = (guint) opcode - OP_TUPLE1 + 1;
    return need (pickle, n) && make_tuple (pickle, n);
  case OP_TUPLE:
    return pop_mark (pickle, &n) && make_tuple (pickle, n);
  case OP_EMPTY_LIST:
  case OP_EMPTY_SET:
    return push (pickle, deim_pickle_new_value (pickle, DEIM_PICKLE_LIST));
  case OP_APPEND:
    return add_items (pickle, 1, FALSE);
  case OP_APPENDS:
  case OP_ADDITEMS:
    return pop_mark (pickle, &n) && add_items (pickle, n, FALSE);
  case OP_EMPTY_DICT:
    return push (pickle, deim_pickle_new_value (pickle, DEIM_PICKLE_DICT));
  case OP_SETITEM:
    return add_items (pickle, 2, TRUE);
  case OP_SETITEMS:
    return pop_mark (pickle, &n) && add_items (pickle, n, TRUE);

  case OP_BINPUT:
    return take_number (pickle, 1, &number) && put_memo (pickle, (gsize) number);
  case OP_LONG_BINPUT:
    return take_number (pickle, 4, &number) && put_memo (pickle, (gsize) number);
  case OP_MEMOIZE:
    return put_memo (pickle, pickle->memo->len);
  case OP_BINGET:
    return take_number (pickle, 1, &number) && get_memo (pickle, (gsize) number);
  case OP_LONG_BINGET:
    return take_number (pickle, 4, &number) && get_memo (pickle, (gsize) number);

  case OP_GLOBAL:
    return read_global (pickle);
  case OP_STACK_GLOBAL:
    return read_stack_global (pickle);
  case OP_REDUCE:
  case OP_NEWOBJ:
    return call (pickle);
  case OP_BUILD:
    return build (pickle);
  case OP_BINPERSID:
    return persistent (pickle);
  }
  return refuse_opcode (pickle, opcode);
}

gboolean
deim_pickle_run (DeimPickle *pickle)
{
  for (;;) {
    pickle->opcode_at = pickle->at;
    if (pickle->at == pickle->size)
      return deim_pickle_fail (pickle, "it ends without STOP: " DEIM_FILE_DAMAGED);
    guint8 opcode = pickle->data[pickle->at++];
    if (opcode == OP_STOP)
      break;
    if (!step (pickle, opcode))
      return FALSE;
  }
  if (pickle->marks->len != 0 || pickle->stack->len != 1)
    return deim_pickle_fail (pickle, "it stops with %u values on the stack instead of one", pickle->stack->len);
  pickle->root = peek (pickle, 0);
  return TRUE;
}
