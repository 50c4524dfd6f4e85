'use strict';
const http = require('node:http');
const seaworthy = require('seaworthy');
const { resilientFetch } = require('seaworthy/fetch');
const { request } = require('undici');
const run = require('./flow.cjs');

run({ http, request, seaworthy, resilientFetch, report: globalThis.report });
