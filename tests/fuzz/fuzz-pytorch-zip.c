/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-pytorch-zip.c - libFuzzer target of engine/formats/pytorch-zip.c: a
 * whole file. A mutated entry would only ever meet the CRC check, so the
 * mutator puts the right CRC of stored entries into the central directory, most
 * of the time.
 */
#include <string.h>

#include "fuzz.h"
#include "engine/formats/reader.h"

size_t LLVMFuzzerMutate (uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned int seed);

static guint32
get (const uint8_t *at, guint n)
{
  guint32 value = 0;
  while (n-- > 0)
    value = value << 8 | at[n];
  return value;
}

static void
repair_crc (uint8_t *data, size_t size)
{
  for (size_t at = 0; at + 46 <= size; at++) {
    if (memcmp (data + at, "PK\x01\x02", 4) != 0 || get (data + at + 10, 2) != 0)
      continue;
    size_t length = get (data + at + 20, 4), local = get (data + at + 42, 4);
    if (local + 30 > size)
      continue;
    size_t begin = local + 30 + get (data + local + 26, 2) + get (data + local + 28, 2);
    if (begin > size || length > size - begin)
      continue;
    guint32 crc = 0xffffffffu;
    for (size_t i = 0; i < length; i++) {
      crc ^= data[begin + i];
      for (guint bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    crc = ~crc;
    for (guint i = 0; i < 4; i++)
      data[at + 16 + i] = (uint8_t) (crc >> (8 * i));
  }
}

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
  size = LLVMFuzzerMutate (data, size, max_size);
  if (seed % 8 != 0)
    repair_crc (data, size);
  return size;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  GError *error = NULL;
  DeimCheckpoint *checkpoint = deim_pytorch_zip_read (bytes, "fuzz", &error);
  fuzz_use (checkpoint, error);
  return 0;
}
