import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import { type ErrnoName, errno, errnoName } from '../../src/libc/index.js'

test('numbers are the platform’s, and those that Node leaves out are Linux’s', () => {
  assert.equal(errno('ENOENT'), constants.errno.ENOENT)
  assert.equal(errno('E2BIG'), constants.errno.E2BIG)
  assert.equal(errno('ERESTARTSYS'), 512)
})

test('a number of either sign gives its name; one that has none stays a number', () => {
  assert.equal(errnoName(constants.errno.ENOENT), 'ENOENT')
  assert.equal(errnoName(-constants.errno.EACCES), 'EACCES')
  assert.equal(errnoName(-99_999), 'E99999')
})

test('where two names share a number, the common one is given', () => {
  assert.equal(errnoName(constants.errno.EAGAIN), 'EAGAIN')
})

test('a name that the platform does not have is an error', () => {
  assert.throws(() => errno('ENOSUCHTHING' as ErrnoName), RangeError)
})
