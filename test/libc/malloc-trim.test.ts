import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadLibrary } from '../../src/libc/library.js'
import { mallocTrim } from '../../src/libc/malloc-trim.js'
import { leaveFree } from '../helpers/free-memory.js'

const BYTES = 256 * 2 ** 20

test('what was freed before a block that stays goes back to Linux', () => {
  const freeLast = leaveFree(BYTES)
  const before = process.memoryUsage.rss()
  mallocTrim(loadLibrary())
  const given = before - process.memoryUsage.rss()
  assert.ok(given > BYTES / 2, `${given} bytes`)
  freeLast()
})

test('a C library without malloc_trim is left alone', () => {
  const { addressOf, errno } = loadLibrary()
  const func = (prototype: string) => {
    throw new Error(`cannot find function in ${prototype}`)
  }
  mallocTrim({ func, addressOf, errno })
})
